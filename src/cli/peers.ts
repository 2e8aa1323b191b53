/** `latchway peers` and `latchway locks`: what a dispatcher knows of the others, and the client locks in its table. */
import type { Command } from 'commander';
import { PROTOCOL_VERSION } from '../cluster/seal.ts';
import type { LockView, PeerView } from '../daemon/cluster/cluster-views.ts';
import { askDaemon } from './client.ts';
import { socketOf, type ViewOptions, withExamples, withView } from './options.ts';
import { formatTable, print, printJson } from './output.ts';
import { formatSpan } from './status.ts';

export function addPeers(program: Command): void {
  const command = program
    .command('peers')
    .description(
      'the other dispatchers of the cluster: state, last heard, datagrams sent, received, lost and repaired, drift of the configuration',
    )
    .action(async (options: ViewOptions) => {
      const peers = await askDaemon<readonly PeerView[]>(socketOf(options), 'GET', '/peers');
      if (options.json) printJson(peers);
      else print(peers.length === 0 ? 'no other dispatcher: this one is alone' : formatPeers(peers));
    });
  withExamples(withView(command), [
    ['latchway peers', 'who is up, and who lost how much'],
    [
      `latchway peers --json | jq '.[] | select(.drift)'`,
      'those with another configuration; an empty array without a cluster',
    ],
  ]);
}

export function addLocks(program: Command): void {
  const command = program
    .command('locks')
    .description('client locks in the local table: session, holder, age, lease left, waiting packets')
    .action(async (options: ViewOptions) => {
      const locks = await askDaemon<readonly LockView[]>(socketOf(options), 'GET', '/locks');
      if (options.json) printJson(locks);
      else print(locks.length === 0 ? 'no client locks' : formatLocks(locks));
    });
  withExamples(withView(command), [
    ['latchway locks', 'they live for milliseconds: a long list means that answers are missing'],
    ['latchway locks --json', 'an empty array without a cluster'],
  ]);
}

/** Received, missing, lost and repaired count datagrams of its broadcast stream, out of Sequence; Sent is the same of ours. */
export function formatPeers(peers: readonly PeerView[]): string {
  return formatTable(
    [
      ...[
        'Dispatcher',
        'Address',
        'State',
        'Ready',
        'Heard',
        'Sent',
        'Sequence',
        'Received',
        'Missing',
        'Lost',
      ],
      ...['Repaired', 'Incarnation', 'Notes'],
    ],
    peers.map((peer) => [
      ...[peer.name, peer.address, peer.state, peer.ready ? 'yes' : 'no'],
      peer.incarnation === '' ? 'never' : formatHeard(peer.lastHeardMs),
      ...[peer.sent, peer.sequence, peer.received, peer.missing, peer.lost, peer.repaired],
      ...[peer.incarnation.slice(0, 8), notes(peer)],
    ]),
    [4, 5, 6, 7, 8, 9, 10],
  );
}

/** Heartbeats come several times a second: up to ten seconds, milliseconds tell more. */
function formatHeard(ms: number): string {
  return ms < 10_000 ? `${ms}ms` : formatSpan(ms);
}

function notes(peer: PeerView): string {
  const words: string[] = [];
  if (peer.incarnation === '')
    words.push('not running, unreachable on its UDP port, or with another cluster key');
  if (peer.state === 'one-way') words.push('it does not hear this one');
  if (peer.flooding) words.push('flood');
  if (peer.version !== 0 && peer.version !== PROTOCOL_VERSION)
    words.push(`protocol version ${peer.version}, not ${PROTOCOL_VERSION}`);
  if (peer.drift) words.push(`other configuration (${peer.configuration})`);
  return words.join(', ');
}

export function formatLocks(locks: readonly LockView[]): string {
  return formatTable(
    ['Service', 'Client', 'Port', 'Holder', 'Server', 'Age ms', 'Lease ms', 'Waiting', 'Not answered'],
    locks.map((lock) => [
      lock.service,
      lock.session ? `${lock.client} (session)` : lock.client,
      lock.session ? '' : lock.vipPort,
      lock.holder,
      lock.server,
      lock.ageMs,
      lock.leaseLeftMs,
      lock.waiting,
      lock.pending.join(' '),
    ]),
    [2, 5, 6, 7],
  );
}
