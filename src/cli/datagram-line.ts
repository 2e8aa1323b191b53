/**
 * What dispatchers say to each other, in words: each record of a datagram as a short text and as a value for scripts.
 *
 * The names are those of the configuration; what it does not know is shown by number (`#1a2b3c4d`). Field names are read by scripts: add to them, do
 * not rename.
 */

import { BIT_CLOSING, BIT_ESTABLISHED, BIT_FIN_CLIENT, BIT_FIN_SERVER, NO_ISN } from '../cluster/entry.ts';
import type { NodeId } from '../cluster/identity.ts';
import type { AnyRecord } from '../cluster/messages.ts';
import type { EntryRecord, LockRecord, Report } from '../cluster/records.ts';
import { KIND_SESSION, ReplyKey, type SessionKey } from '../cluster/session-key.ts';
import { formatAddress, formatEndpoint } from '../wire/address.ts';

/** Names of what crosses the wire as 32 bits. */
export interface WireNames {
  service(id: number): string;
  server(id: number): string;
  node(id: NodeId): string;
}

export interface RecordView {
  readonly type: AnyRecord['type'];
  /** In words, beginning with the type. */
  readonly text: string;
  /** Number of the sender's lock or question, or of the one that is answered; of an entry, of the lock that it ends. */
  readonly number?: number;
  readonly service?: string;
  /** `address:port`; of a session the address alone */
  readonly client?: string;
  readonly server?: string;
  /** Why an entry was sent. */
  readonly cause?: EntryRecord['cause'];
}

/** @param datagram says what a datagram inside another one is: a repair carries one as it was */
export function recordView(
  record: AnyRecord,
  names: WireNames,
  datagram: (bytes: Buffer) => string,
): RecordView {
  const { type } = record;
  switch (record.type) {
    case 'lock':
      return {
        type,
        number: record.attempt,
        ...sessionView(record.key, names),
        server: names.server(record.server),
        text: lockText(record, names),
      };
    case 'refuse':
      return {
        type,
        number: record.attempt,
        ...sessionView(record.lock.key, names),
        text: `refuse ${record.attempt}: holds ${lockText(record.lock, names)}`,
      };
    case 'grant':
    case 'unlock': {
      const reports = record.type === 'grant' ? reportsText(record.reports, names) : '';
      const text = `${type} ${record.attempt}: ${sessionText(record.key, names)}${reports}`;
      return { type, number: record.attempt, ...sessionView(record.key, names), text };
    }
    case 'question':
    case 'no': {
      const { about } = record;
      const text = `${type} ${record.question}: ${aboutText(about, names)}`;
      const more = record.type === 'no' ? reportsText(record.reports, names) : '';
      const view = about instanceof ReplyKey ? {} : sessionView(about, names);
      return { type, number: record.question, ...view, text: text + more };
    }
    case 'entry':
      return {
        type,
        cause: record.cause,
        ...(record.attempt !== 0 && { number: record.attempt }),
        ...sessionView(record.key, names),
        server: names.server(record.server),
        text: entryText(record, names),
      };
    case 'heartbeat':
      return { type, text: `heartbeat: ${heartbeatText(record, names)}` };
    case 'repair-request':
    case 'gone':
      return { type, text: `${type}: ${record.sequences.join(' ')}` };
    case 'repair':
      return { type, text: `repair, ${record.heldMs} ms old: (${datagram(record.datagram)})` };
    case 'hello':
    case 'hello-ack':
    case 'digest':
    case 'leave':
      return { type, text: type };
  }
}

function sessionView(key: SessionKey, names: WireNames) {
  const client =
    key.kind === KIND_SESSION ? formatAddress(key.client) : formatEndpoint(key.client, key.clientPort);
  return { service: names.service(key.service), client };
}

/** `web 198.51.100.2:40000`, `web client 198.51.100.2`. */
function sessionText(key: SessionKey, names: WireNames): string {
  const { service, client } = sessionView(key, names);
  return key.kind === KIND_SESSION ? `${service} client ${client}` : `${service} ${client}`;
}

function aboutText(about: SessionKey | ReplyKey, names: WireNames): string {
  if (!(about instanceof ReplyKey)) return sessionText(about, names);
  const { server, serverPort, client, clientPort } = about;
  return `reply ${formatEndpoint(server, serverPort)} > ${formatEndpoint(client, clientPort)}`;
}

function lockText(lock: LockRecord, names: WireNames): string {
  const words = [
    `lock ${lock.attempt}: ${sessionText(lock.key, names)}`,
    `server ${names.server(lock.server)}`,
    `lease ${lock.leaseMs} ms`,
  ];
  if (lock.generation > 0) words.push(`generation ${lock.generation}`);
  if (lock.previousIsn !== NO_ISN) words.push('follows one that ended');
  if (lock.confirm) words.push('wants a grant');
  return words.join(', ');
}

function entryText(entry: EntryRecord, names: WireNames): string {
  const words = [
    `entry ${entry.cause}${entry.attempt === 0 ? '' : ` ${entry.attempt}`}: ${sessionText(entry.key, names)}`,
    `server ${names.server(entry.server)}`,
    stateText(entry.bits),
  ];
  if (entry.generation > 0) words.push(`generation ${entry.generation}`);
  if (entry.idleMs > 0) words.push(`idle ${entry.idleMs} ms`);
  return words.join(', ');
}

function stateText(bits: number): string {
  if ((bits & BIT_CLOSING) !== 0) return 'closing';
  const fins = [
    (bits & BIT_FIN_CLIENT) === 0 ? '' : ', FIN of the client',
    (bits & BIT_FIN_SERVER) === 0 ? '' : ', FIN of the server',
  ].join('');
  return ((bits & BIT_ESTABLISHED) === 0 ? 'opening' : 'established') + fins;
}

function reportsText(reports: readonly Report[], names: WireNames): string {
  return reports
    .map(({ holder, server }) => `, ${names.node(holder)} had intended ${names.server(server)}`)
    .join('');
}

function heartbeatText(record: Extract<AnyRecord, { type: 'heartbeat' }>, names: WireNames): string {
  const words = [
    record.ready ? 'ready' : 'not ready',
    `broadcast up to ${record.lastSequence}`,
    `hears ${record.hears.map(({ node }) => names.node(node)).join(' ') || 'nobody'}`,
  ];
  if (record.flooding) words.push('in flood');
  else if (record.flooded) words.push('remembers a flood');
  return words.join(', ');
}
