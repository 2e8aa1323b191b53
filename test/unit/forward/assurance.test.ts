/** What makes an entry and its session durable, and that each flow lets go of what it took: the other side of flows and sessions. */
import { describe, expect, it } from 'vitest';
import type { ServiceSpec } from '../../../src/balance/generation.ts';
import { ServiceTable } from '../../../src/balance/service-table.ts';
import { forgetChangedSessions } from '../../../src/forward/release.ts';
import {
  FLAG_ASSURED,
  FLAG_CLIENT_ACKED,
  FLAG_HOLDS,
  STATE_ESTABLISHED,
  STATE_OPENING,
} from '../../../src/table/flow-row.ts';
import { Path } from '../../support/path.ts';
import {
  ACK,
  answer,
  datagram,
  ENDS,
  RST,
  reply,
  request,
  SYN,
  servers,
  service,
} from '../../support/path-packets.ts';
import { makeGeneration } from '../../support/services.ts';

const client = (prefix: number) => ({ kind: 'client', prefix }) as const;
const bound = (changes: Partial<ServiceSpec> = {}) => service(0, 4, { affinity: client(32), ...changes });
const syn = (sourcePort: number, sequence = 100) => request(4, { flags: SYN, sourcePort, sequence });

/** Rows 0 and 1 are the first flow and its session. */
const SESSION = 1;

describe('a session entry', () => {
  it('is durable once the server went on after the handshake of a flow', () => {
    const path = new Path([bound()]);
    path.run([syn(40_000), reply(4, 0, { flags: SYN | ACK }), request(4, { flags: ACK })]);
    expect(path.table.flags(SESSION)).toBe(0);
    path.run(reply(4, 0));
    expect(path.table.flags(SESSION)).toBe(FLAG_CLIENT_ACKED | FLAG_ASSURED);
    path.table.remove(0);
    expect(path.table.expire(path.now + 899_999, 8)).toBe(0);
    expect(path.table.expire(path.now + 900_000, 8)).toBe(1);
  });

  it('one way lives on after SYN and ACK, and is kept in a full table once packets came at two times', () => {
    const path = new Path([bound({ mode: 'ipip' })]);
    path.run([syn(40_000), request(4, { flags: ACK })]);
    expect(path.table.flags(SESSION)).toBe(FLAG_CLIENT_ACKED);
    path.now += 2000;
    path.run(request(4, { flags: ACK }));
    expect(path.table.flags(SESSION)).toBe(FLAG_CLIENT_ACKED | FLAG_ASSURED);
  });

  it('of UDP lives on after a reply, and is kept once the client goes on 2 s later', () => {
    const path = new Path([bound({ protocol: 17 })]);
    path.run([datagram(4), answer(4, 0)]);
    expect(path.table.flags(SESSION)).toBe(FLAG_CLIENT_ACKED);
    path.now += 2000;
    path.run(datagram(4));
    expect(path.table.flags(SESSION)).toBe(FLAG_CLIENT_ACKED | FLAG_ASSURED);
  });
});

describe('a flow that holds no session lets go of none', () => {
  it.each([
    ['it began without affinity', service(0, 4), bound()],
    ['the prefix has changed', bound(), bound({ affinity: client(24) })],
  ])('%s', (_, before, after) => {
    const path = new Path([before]);
    path.run(syn(1));
    const tables = [before, after].map((one) => new ServiceTable(makeGeneration([one])));
    path.apply([after]);
    forgetChangedSessions(path.table, tables[0]!, tables[1]!);
    expect(path.table.flags(0) & FLAG_HOLDS).toBe(0);
    path.run(syn(2));
    const session = [...Array(path.table.usedRows).keys()].find((row) => path.table.isSession(row))!;
    path.table.remove(0);
    expect(path.table.isn(session)).toBe(1);
  });
});

describe('a SYN after a reset', () => {
  it('begins anew on the same server, and what was proven is proven again', () => {
    const path = new Path([service(0, 4, { mode: 'ipip' })]);
    path.run([syn(40_000), request(4, { flags: ACK })]);
    path.now += 5000;
    path.run([request(4, { flags: ACK }), request(4, { flags: RST })]);
    const { counts, sent } = path.run(syn(40_000, 999));
    expect([counts['flow-reopened'], sent[0]!.server]).toEqual([1, 0]);
    expect([path.table.state(0), path.table.flags(0), path.table.isn(0)]).toEqual([STATE_OPENING, 0, 999]);
    path.run(request(4, { flags: ACK }));
    expect([path.table.state(0), path.table.flags(0)]).toEqual([STATE_ESTABLISHED, FLAG_CLIENT_ACKED]);
  });

  it.each([{ weight: 0 }, { up: false }, { leaving: true }])(
    'goes to another where the old one is %o',
    (away) => {
      const path = new Path([service(0, 4)]);
      path.run([syn(40_000), request(4, { flags: RST })]);
      path.apply([
        service(0, 4, { servers: servers(4, 0).map((one) => (one.index === 0 ? { ...one, ...away } : one)) }),
      ]);
      const { sent } = path.run(syn(40_000, 999));
      expect(sent[0]!.decoded.destination).not.toBe(ENDS[4].servers[0]);
      expect(path.table.size).toBe(1);
    },
  );
});
