/** Dispatchers joined by memory: packets of one connection at any of them, and one server. */
import { describe, expect, test } from 'vitest';
import { COUNTER, type CounterName } from '../../../../src/base/counters.ts';
import { Members } from '../../../support/members.ts';
import * as pathPackets from '../../../support/path-packets.ts';
import { ACK, datagram, FIN, RST, reply, request, SYN } from '../../../support/path-packets.ts';

const HEX = (index: number): string => `${(index + 16).toString(16).padStart(8, '0')}00000000`;

function service(changes: Parameters<typeof pathPackets.service>[2] = {}) {
  const made = pathPackets.service(0, 4, changes);
  const servers = made.servers.map((server) => ({ ...server, id: HEX(server.index + 100) }));
  return { ...made, id: HEX(1), servers };
}

function counter(members: Members, index: number, name: CounterName): number {
  return members.dispatchers[index]!.path.counters[COUNTER[name]]!;
}

/** Servers that packets went to, at all dispatchers. */
function serversOf(members: Members): Set<string> {
  const sent = members.dispatchers.flatMap((dispatcher) => dispatcher.sent);
  return new Set(sent.map(({ decoded }) => decoded.destination).filter((to) => to.startsWith('10.0.2.')));
}

const syn = request(4, { flags: SYN, sequence: 100 });
const ack = request(4, { flags: ACK, sequence: 101 });

describe('one connection, any packet at any dispatcher', () => {
  test.each(['announce', 'confirm', 'auto'] as const)('%s: all to one server', (lock) => {
    const members = new Members(3, [service({ lock })]);
    members.give(0, syn);
    members.run(10);
    for (const at of [1, 2, 0, 2, 1]) members.give(at, ack);
    members.run(10);
    expect(serversOf(members).size).toBe(1);
    const forwarded = members.dispatchers.reduce((sum, { sent }) => sum + sent.length, 0);
    expect(forwarded).toBe(6);
    expect(counter(members, 0, 'lock-placed')).toBe(1);
    expect(counter(members, 1, 'lock-learnt') + counter(members, 2, 'lock-learnt')).toBe(2);
  });

  test('without the update the others choose for themselves, or drop', () => {
    const members = new Members(2, [service({ lock: 'announce', scheduler: 'rr' })]);
    members.isLost = () => true;
    members.give(0, syn);
    members.give(1, request(4, { sourcePort: 1, flags: SYN, sequence: 1 }));
    members.give(1, syn);
    members.run(50);
    expect(serversOf(members).size).toBe(2);
  });

  test('a reply is translated where the request never was', () => {
    const members = new Members(2, [service({ lock: 'confirm' })]);
    members.give(0, syn);
    members.run(10);
    const [to] = serversOf(members);
    const at = Number(to!.slice(-1)) - 1;
    const [out] = members.give(1, reply(4, at, { flags: SYN | ACK }));
    expect(out!.decoded.source).toBe('192.0.2.10');
    expect(out!.decoded.destination).toBe('198.51.100.7');
  });

  test('a reply before its update came waits for the answer, and never leaves with the address of its server', () => {
    const members = new Members(2, [service({ lock: 'announce' })]);
    members.give(0, syn);
    const [to] = serversOf(members);
    const at = Number(to!.slice(-1)) - 1;
    members.wire = [];
    expect(members.give(1, reply(4, at, { flags: SYN | ACK }))).toEqual([]);
    members.run(10);
    const [out] = members.dispatchers[1]!.sent;
    expect(out!.decoded.source).toBe('192.0.2.10');
  });

  test('under a lock a packet is tunnelled to who holds it, and the entry comes back', () => {
    const members = new Members(2, [service({ lock: 'confirm', protocol: 17, ports: [[80, 80]] })]);
    // Grants do not arrive, so the lock stands for a while.
    members.isLost = ({ from, packet }) => from === 1 && packet === undefined;
    members.give(0, datagram(4));
    members.run(3);
    const holder = counter(members, 1, 'lock-learnt') === 1 ? 0 : 1;
    expect(holder).toBe(0);
    members.give(1, datagram(4));
    expect(counter(members, 1, 'tunnel-sent')).toBe(1);
    members.run(2);
    expect(counter(members, 0, 'tunnel-received')).toBe(1);
    expect(counter(members, 0, 'waited')).toBe(2);
    members.run(60);
    expect(counter(members, 0, 'lock-granted-by-timeout')).toBe(1);
    expect(members.dispatchers[0]!.sent).toHaveLength(2);
    expect(serversOf(members).size).toBe(1);
  });
});

describe('what opens nothing', () => {
  test('is asked for, and reset only when all have said no', () => {
    const members = new Members(2, [service({ unknown: 'reset' })]);
    expect(members.give(0, ack)).toEqual([]);
    members.run(10);
    const [out] = members.dispatchers[0]!.sent;
    expect(out!.decoded.destination).toBe('198.51.100.7');
    expect(counter(members, 0, 'reset-sent')).toBe(1);
  });

  test('silence is no answer: it is dropped', () => {
    const members = new Members(2, [service({ unknown: 'reset' })]);
    members.isLost = () => true;
    members.give(0, ack);
    members.run(100);
    expect(members.dispatchers[0]!.sent).toEqual([]);
    expect(counter(members, 0, 'drop-question-unanswered')).toBe(1);
  });

  test('a reset is never answered', () => {
    const members = new Members(2, [service({ unknown: 'reset' })]);
    members.give(0, request(4, { flags: RST, sequence: 5 }));
    members.run(10);
    expect(counter(members, 0, 'drop-unknown')).toBe(1);
  });
});

test('FIN of both directions, each at another dispatcher, ends the flow at both', () => {
  const members = new Members(2, [service({ lock: 'announce' })]);
  members.give(0, syn);
  members.run(5);
  const [to] = serversOf(members);
  const at = Number(to!.slice(-1)) - 1;
  members.give(1, reply(4, at, { flags: SYN | ACK }));
  members.give(0, ack);
  members.give(0, request(4, { flags: FIN | ACK, sequence: 101 }));
  members.give(1, reply(4, at, { flags: FIN | ACK }));
  members.run(5);
  const states = members.dispatchers.map(({ path }) => path.table.state(0));
  expect(states).toEqual([3, 3]);
});

describe('what packets show of a flow after its first', () => {
  function established() {
    const members = new Members(2, [service({ lock: 'announce' })]);
    members.give(0, syn);
    members.run(5);
    const [to] = serversOf(members);
    const at = Number(to!.slice(-1)) - 1;
    members.wire = [];
    members.give(0, reply(4, at, { flags: SYN | ACK }));
    members.give(0, ack);
    members.give(0, reply(4, at, { flags: ACK, sequence: 1 }));
    return { members, at };
  }
  const states = (members: Members) => members.dispatchers.map(({ path }) => path.table.state(0));

  test('is told a little later, both ends of it in one datagram', () => {
    const { members, at } = established();
    members.give(0, request(4, { flags: FIN | ACK, sequence: 101 }));
    members.give(0, reply(4, at, { flags: FIN | ACK }));
    expect(members.wire).toEqual([]);
    expect(states(members)).toEqual([3, 1]);
    members.run(2);
    expect(members.wire.filter(({ from }) => from === 0)).toHaveLength(1);
    members.run(1);
    expect(states(members)).toEqual([3, 3]);
  });

  test('is known before a packet of the same flow is asked about: a port that is used again opens a new flow at once', () => {
    const { members, at } = established();
    members.give(0, request(4, { flags: FIN | ACK, sequence: 101 }));
    members.give(0, reply(4, at, { flags: FIN | ACK }));
    members.give(0, request(4, { flags: SYN, sequence: 5000 }));
    expect(counter(members, 0, 'lock-placed')).toBe(2);
    members.run(10);
    // The old flow's end is not taken for the new one's.
    expect(states(members)).toEqual([1, 1]);
    expect(members.dispatchers.map(({ path }) => path.table.isn(0))).toEqual([5000, 5000]);
  });
});
