/** What only shows where packets of one flow pass at different dispatchers: who says what of it, and who believes it. */
import { describe, expect, test } from 'vitest';
import type { ServiceSpec } from '../../../../src/balance/generation.ts';
import { BIT_ESTABLISHED } from '../../../../src/cluster/entry.ts';
import { Members } from '../../../support/members.ts';
import * as pathPackets from '../../../support/path-packets.ts';
import { ACK, PSH, RST, reply, request, SYN } from '../../../support/path-packets.ts';
import { address, makeGeneration } from '../../../support/services.ts';

const HEX = (index: number): string => `${(index + 16).toString(16).padStart(8, '0')}00000000`;
const VIP = '192.0.2.10';

function service(changes: Partial<ServiceSpec> = {}, index = 0): ServiceSpec {
  const made = pathPackets.service(index, 4, changes);
  const servers = made.servers.map((server) => ({ ...server, id: HEX(server.index + 100) }));
  return { ...made, id: HEX(1 + index), servers };
}

const client = (flags: number, sequence: number, text = '') =>
  request(4, { flags, sequence, payload: Buffer.from(text) });

/** Place of the server that a packet went to. */
function placeOf(members: Members): number {
  const sent = members.dispatchers.flatMap((one) => one.sent.map(({ decoded }) => decoded.destination));
  return Number(sent.find((to) => to.startsWith('10.0.2.'))!.slice(-1)) - 1;
}

/** A connection that has said something in both directions. @param replies where the server's packets pass */
function connect(members: Members, requests: number, replies: number): number {
  members.give(requests, client(SYN, 100));
  members.run(20);
  const at = placeOf(members);
  members.give(replies, reply(4, at, { flags: SYN | ACK }));
  members.run(5);
  for (const [flags, sequence, text] of [
    [ACK, 101, ''],
    [ACK | PSH, 101, 'question'],
  ] as const)
    members.give(requests, client(flags, sequence, text));
  members.run(5);
  members.give(replies, reply(4, at, { flags: ACK | PSH, payload: Buffer.from('answer') }));
  members.run(20);
  return at;
}

/** What is sent at a dispatcher for a packet of the client, at once or after a question. */
function answersTo(members: Members, index: number, packet: ReturnType<typeof client>): string[] {
  const { sent } = members.dispatchers[index]!;
  const before = sent.length;
  members.give(index, packet);
  members.run(100);
  return sent.slice(before).map(({ decoded }) => decoded.destination);
}

function bitsAt(members: Members, index: number): number | undefined {
  let bits: number | undefined;
  members.dispatchers[index]!.member.store.walk(0, 1_000, (entry) => {
    bits = entry.bits;
  });
  return bits;
}

describe('established', () => {
  test('is what a connection is whose requests pass at one dispatcher and its replies at another', () => {
    const members = new Members(2, [service()]);
    const at = connect(members, 0, 1);
    members.run(45_000);
    expect([0, 1].map((index) => bitsAt(members, index))).toEqual([BIT_ESTABLISHED, BIT_ESTABLISHED]);
    expect(answersTo(members, 0, client(ACK | PSH, 109, 'again'))).toEqual([`10.0.2.${at + 1}`]);
  });
});

describe('a forged reset', () => {
  test('is nothing to a flow that goes on: it outlives the time-out of what is closing, everywhere', () => {
    const members = new Members(2, [service()]);
    const at = connect(members, 0, 0);
    members.give(0, client(RST, 999_999));
    members.run(100);
    members.give(0, client(ACK | PSH, 109, 'more'));
    members.give(0, reply(4, at, { flags: ACK | PSH, payload: Buffer.from('more') }));
    members.run(40_000);
    for (const index of [0, 1])
      expect(answersTo(members, index, client(ACK | PSH, 113, 'again'))).toEqual([`10.0.2.${at + 1}`]);
  });

  test('and a forged SYN after it do not move the flow', () => {
    for (const pause of [20, 3_000]) {
      const members = new Members(2, [service({ scheduler: 'rr' })]);
      const at = connect(members, 0, 0);
      members.give(0, client(RST, 999_999));
      members.run(pause);
      answersTo(members, 0, client(SYN, 77_777));
      for (const index of [0, 1])
        expect(answersTo(members, index, client(ACK | PSH, 109, 'again'))).toEqual([`10.0.2.${at + 1}`]);
    }
  });

  test('is nothing either while another flow is reset again and again', () => {
    const members = new Members(2, [service()]);
    const at = connect(members, 0, 0);
    const other = { sourcePort: 50_000 };
    members.give(0, request(4, { ...other, flags: SYN, sequence: 7 }));
    members.run(20);
    for (let left = 17_000; left > 0; left--)
      members.give(0, request(4, { ...other, flags: RST, sequence: 8 }));
    members.give(0, client(RST, 999_999));
    members.run(100);
    members.give(0, client(ACK | PSH, 109, 'more'));
    members.run(40_000);
    expect(answersTo(members, 1, client(ACK | PSH, 113, 'again'))).toEqual([`10.0.2.${at + 1}`]);
  });

  test('control: a reset after which nothing comes closes the flow for all', () => {
    const members = new Members(2, [service()]);
    connect(members, 0, 0);
    members.give(0, client(RST, 109));
    members.run(40_000);
    expect(answersTo(members, 1, client(ACK | PSH, 109, 'again'))).toEqual(['198.51.100.7']);
  });
});

describe('a server that goes down before it has answered', () => {
  test.each(['keep', 'reset'] as const)(
    '%s: the repeat of the SYN goes to another one, for all',
    (onServerDown) => {
      const up = service({ lock: 'announce', onServerDown });
      const members = new Members(2, [up]);
      members.give(0, client(SYN, 100));
      members.run(20);
      const first = placeOf(members);
      const servers = up.servers.map((server, at) => (at === first ? { ...server, up: false } : server));
      for (const { path, member } of members.dispatchers) {
        path.apply([{ ...up, servers }]);
        member.generationChanged(makeGeneration([{ ...up, servers }], 2));
      }
      const [second] = answersTo(members, 1, client(SYN, 100));
      expect(second).toMatch(/^10\.0\.2\.[123]$/);
      expect(second).not.toBe(`10.0.2.${first + 1}`);
      for (const index of [0, 1]) expect(answersTo(members, index, client(ACK, 101))).toEqual([second]);
    },
  );
});

describe('two services that share their servers', () => {
  test('in a flood replies leave in the name of the VIP that was asked', () => {
    const other = service({ vip: address('192.0.2.11') }, 1);
    const one = service();
    const shared = one.servers.map((server, at) => ({ ...server, index: 10 + at, id: HEX(200 + at) }));
    const members = new Members(2, [one, { ...other, servers: shared }]);
    for (const { member } of members.dispatchers) member.node.core.flood.until = Number.POSITIVE_INFINITY;
    const names = new Set<string>();
    let stateless = 0;
    for (let port = 1_000; port < 1_100; port++) {
      for (const destination of [VIP, '192.0.2.11']) {
        const sourcePort = port + (destination === VIP ? 0 : 1_000);
        members.give(0, request(4, { destination, sourcePort, flags: SYN, sequence: 100 }));
        members.run(30);
        const to = members.dispatchers[0]!.sent.at(-1)!.decoded.destination;
        const answer = reply(4, Number(to.slice(-1)) - 1, { destinationPort: sourcePort, flags: SYN | ACK });
        const { sent } = members.dispatchers[1]!;
        const before = sent.length;
        members.give(1, answer);
        members.run(30);
        names.add(`${destination} ${sent.slice(before).map(({ decoded }) => decoded.source)}`);
      }
    }
    for (const { member } of members.dispatchers) stateless += member.node.core.context.counters.stateless;
    expect([...names].sort()).toEqual([`${VIP} ${VIP}`, '192.0.2.11 192.0.2.11']);
    expect(stateless).toBeGreaterThan(100);
  });
});
