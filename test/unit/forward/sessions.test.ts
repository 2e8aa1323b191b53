/** Affinity by client: session entries are held by their flows, time out after them, and move where their server takes no more. */
import { describe, expect, it } from 'vitest';
import type { ServerSpec, ServiceSpec } from '../../../src/balance/generation.ts';
import { ServiceTable } from '../../../src/balance/service-table.ts';
import { forgetChangedSessions } from '../../../src/forward/release.ts';
import { NO_ROW, sessionMeta } from '../../../src/table/flow-row.ts';
import type { BuiltPacket } from '../../support/packets.ts';
import { Path } from '../../support/path.ts';
import { ACK, ENDS, RST, reply, request, SYN, servers, service } from '../../support/path-packets.ts';
import { address, makeGeneration } from '../../support/services.ts';

const SERVERS: readonly string[] = ENDS[4].servers;
const affinity = (prefix: number) => ({ kind: 'client', prefix }) as const;
const bound = (changes: Partial<ServiceSpec> = {}) => service(0, 4, { affinity: affinity(32), ...changes });
const syn = (sourcePort: number, changes: object = {}) => request(4, { flags: SYN, sourcePort, ...changes });
const changed = (index: number, changes: Partial<ServerSpec>) =>
  servers(4, 0).map((one) => (one.index === index ? { ...one, ...changes } : one));

function target(path: Path, packet: BuiltPacket): number | string {
  const { verdicts, sent } = path.run(packet);
  return verdicts[0] === 'nat-request' ? SERVERS.indexOf(sent[0]!.decoded.destination) : verdicts.join();
}

/** Row of the session entry of a client, and how many flows hold it (the ISN word). */
function session(path: Path, client: string, prefix = 32): { row: number; holds: number } {
  const { table } = path;
  const mask = prefix === 32 ? -1 : ~(2 ** (32 - prefix) - 1);
  const word = address(client).words[3] & mask;
  const meta = sessionMeta(0);
  const row = table.findForward(table.hashForward(0, 0, 0xffff, word, 0, meta), 0, 0, 0xffff, word, 0, meta);
  return { row, holds: row === NO_ROW ? 0 : table.isn(row) };
}

const CLIENT = ENDS[4].client;

describe('affinity: client', () => {
  it('all flows of a client go to one server, those of others by turns', () => {
    const path = new Path([bound()]);
    expect([1, 2, 3, 4].map((port) => target(path, syn(port)))).toEqual([0, 0, 0, 0]);
    expect(target(path, syn(1, { source: '198.51.100.8' }))).toBe(1);
    expect(target(path, syn(1, { source: '198.51.100.9' }))).toBe(2);
    expect(path.table.sessions).toBe(3);
    expect(path.table.size).toBe(9);
    expect(session(path, CLIENT).holds).toBe(4);
    // Session entries are no load.
    expect(path.table.inactive[0]).toBe(4);
  });

  it('a prefix is one client', () => {
    const path = new Path([bound({ affinity: affinity(24) })]);
    const from = ['198.51.100.1', '198.51.100.200', '198.51.101.1', '198.51.100.77'];
    expect(from.map((source) => target(path, syn(1, { source })))).toEqual([0, 0, 1, 0]);
    expect(path.table.sessions).toBe(2);
    expect(session(path, '198.51.100.0', 24).holds).toBe(3);
  });

  it('IPv6 prefixes too', () => {
    const path = new Path([service(0, 6, { affinity: affinity(48) })]);
    const to = ['2001:db8:1:1::1', '2001:db8:1:2::2', '2001:db8:2::1'].map(
      (source) => path.run(request(6, { flags: SYN, source })).sent[0]!.decoded.destination,
    );
    expect(to).toEqual([ENDS[6].servers[0], ENDS[6].servers[0], ENDS[6].servers[1]]);
  });

  it('a session lives while a flow of it does, and its time-out runs after the last one', () => {
    const path = new Path([bound()]);
    const start = path.now;
    path.run(syn(1));
    path.run(syn(2));
    const { table } = path;
    // Both flows expire after 30 s; the session, none of whose flows was established, after 30 s more.
    path.state.now = start + 30_000;
    expect(table.expire(start + 30_000, 8)).toBe(2);
    expect(session(path, CLIENT)).toMatchObject({ holds: 0 });
    expect(table.expire(start + 30_000 + 29_999, 8)).toBe(0);
    expect(table.expire(start + 30_000 + 30_000, 8)).toBe(1);
    expect(table.size).toBe(0);
    expect(path.state.counters.some((value) => value > 0)).toBe(true);
  });

  it('a held session outlives its own time-out', () => {
    const path = new Path([bound({ timeoutsMs: { ...bound().timeoutsMs, client: 1000 } })]);
    path.run(syn(1));
    path.run(reply(4, 0, { flags: SYN | ACK, destinationPort: 1 }));
    path.run(request(4, { flags: ACK, sourcePort: 1 }));
    expect(path.table.expire(path.now + 60_000, 8)).toBe(0);
    path.run(request(4, { flags: RST, sourcePort: 1 }));
    path.now += 30_000;
    path.state.now = path.now;
    expect(path.table.expire(path.now, 8)).toBe(1);
    expect(path.table.expire(path.now + 999, 8)).toBe(0);
    expect(path.table.expire(path.now + 1000, 8)).toBe(1);
  });

  it('port reuse lets go and holds again', () => {
    const path = new Path([bound()]);
    path.run(syn(1));
    path.run(request(4, { flags: RST, sourcePort: 1 }));
    expect(target(path, syn(1, { sequence: 99 }))).toBe(0);
    expect(session(path, CLIENT).holds).toBe(1);
  });

  it.each([
    ['drained', { weight: 0 }],
    ['down', { up: false }],
    ['leaving', { leaving: true }],
  ])(
    'a server that is %s: the session moves with the next flow, the flows that are there stay',
    (_, away) => {
      const path = new Path([bound()]);
      path.run(syn(1));
      path.run(reply(4, 0, { flags: SYN | ACK, destinationPort: 1 }));
      path.run(request(4, { flags: ACK, sourcePort: 1 }));
      path.apply([bound({ servers: changed(0, away) })]);
      expect(target(path, request(4, { sourcePort: 1 }))).toBe(0);
      const moved = target(path, syn(2));
      expect(moved).not.toBe(0);
      expect(target(path, syn(3))).toBe(moved);
      expect(target(path, request(4, { sourcePort: 1 }))).toBe(0);
      // The flow of the old server still holds the session, and lets go of it once.
      expect(session(path, CLIENT).holds).toBe(3);
      path.run(request(4, { flags: RST, sourcePort: 1 }));
      path.now += 29_999;
      path.run([syn(2), syn(3)]);
      expect(path.table.expire(path.now + 1, 8)).toBe(1);
      expect(session(path, CLIENT).holds).toBe(2);
      path.apply([bound()]);
      expect(target(path, syn(4))).toBe(moved);
    },
  );

  it('a session that went and came back is let go of by each flow once', () => {
    const path = new Path([bound()]);
    path.run(syn(1));
    path.apply([bound({ servers: changed(0, { weight: 0 }) })]);
    const away = Number(target(path, syn(2)));
    path.apply([bound({ servers: changed(away, { weight: 0 }) })]);
    const back = target(path, syn(3));
    expect(session(path, CLIENT).holds).toBe(3);
    for (const [at, port] of [1, 2, 3].entries()) {
      const row = [...Array(path.table.usedRows).keys()].find((one) => path.table.clientPort(one) === port)!;
      path.table.remove(row);
      expect(session(path, CLIENT).holds).toBe(2 - at);
    }
    expect(back).not.toBe(away);
  });

  it('a reply tuple that is taken is refused: a session has no other server', () => {
    const ports: ServiceSpec['ports'] = [
      [80, 80],
      [81, 81],
    ];
    const path = new Path([bound({ ports })]);
    expect(target(path, syn(1))).toBe(0);
    expect(target(path, syn(1, { destinationPort: 81 }))).toBe('drop-reply-taken');
    expect(session(path, CLIENT).holds).toBe(1);
  });

  it('a full table: the flow has its entry, its client no session, and that is counted', () => {
    const path = new Path([bound()], { capacity: 3 });
    path.run(syn(1));
    const { counts } = path.run(syn(1, { source: '198.51.100.8' }));
    expect(counts).toMatchObject({ 'nat-request': 1, 'session-refused': 1 });
    expect(path.table.size).toBe(3);
  });

  it('every slot comes back: after churn and time, nothing is left', () => {
    const path = new Path([bound({ affinity: affinity(24) })], { capacity: 4096 });
    for (let at = 0; at < 2000; at++) {
      path.now += 7;
      path.run(syn(at, { source: `10.${at % 5}.${at % 7}.1`, sequence: at }));
      if (at % 3 === 0)
        path.run(request(4, { flags: RST, sourcePort: at, source: `10.${at % 5}.${at % 7}.1` }));
      path.table.expire(path.now, 16);
    }
    for (let step = 0; step < 3; step++) {
      path.now += 1_000_000;
      path.state.now = path.now;
      path.table.expire(path.now, 4096);
    }
    expect(path.table.size).toBe(0);
    expect(path.table.inactive.every((count) => count === 0)).toBe(true);
  });
});

describe('a changed affinity', () => {
  const table = (changes: Partial<ServiceSpec>) => new ServiceTable(makeGeneration([bound(changes)]));
  const cases: [string, Partial<ServiceSpec>, number][] = [
    ['the same', {}, 1],
    ['a prefix', { affinity: affinity(24) }, 0],
    ['flow', { affinity: { kind: 'flow' } }, 0],
  ];
  it.each(cases)('to %s', (_, changes, left) => {
    const path = new Path([bound()]);
    path.run(syn(1));
    path.apply([bound(changes)]);
    forgetChangedSessions(path.table, table({}), table(changes));
    expect(path.table.sessions).toBe(left);
    expect(path.table.size).toBe(1 + left);
    expect(target(path, request(4, { sourcePort: 1 }))).toBe(0);
  });

  it('sessions of other services stay', () => {
    const path = new Path([bound()]);
    path.run(syn(1));
    const other = (prefix: number) =>
      new ServiceTable(
        makeGeneration([bound(), service(1, 4, { vip: address('192.0.2.44'), affinity: affinity(prefix) })]),
      );
    forgetChangedSessions(path.table, other(24), other(32));
    expect(path.table.sessions).toBe(1);
  });
});
