/**
 * No packet shows a client a server's address: not as its source, not in what an ICMP error quotes, nowhere in its bytes.
 * The witness is every packet at the client, byte for byte; builds that let one through show that it sees.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { createLab, type Lab } from '../../netns/laboratory.mjs';
import { buildMutant, type Mutation } from '../../netns/mutant.mjs';
import { natService, SERVER_PORTS } from '../../netns/services.mjs';
import { serverAddress } from '../../netns/single.mjs';
import { startCapture, startDispatcher, startServers, waitFor } from '../support/lab.ts';

const { udp } = SERVER_PORTS;
const VIP = { 4: '192.0.2.10', 6: '2001:db8:f::10' } as const;
const TWO = { scheduler: 'rr', count: 2 };
const SESSIONS = 4;
/** Ports that tcpdump makes nothing of. */
const ECHO = 9001;
const CLOSED = 9002;
/** Of 4,000 bytes over links of 1,500. */
const FRAGMENTS = 3;
const UNREACHABLE = /unreachable/;

const CONFIG = {
  services: {
    echo4: natService(VIP[4], 'udp', ECHO, udp, TWO),
    echo6: natService(VIP[6], 'udp', ECHO, udp, TWO),
    closed4: natService(VIP[4], 'udp', CLOSED, 9, TWO),
    closed6: natService(VIP[6], 'udp', CLOSED, 9, TWO),
  },
};

let lab: Lab | undefined;
afterEach(() => {
  lab?.close();
  lab = undefined;
});

/** The bytes of an address as tcpdump prints them without spaces. */
function hexOf(address: string): string {
  if (!address.includes(':'))
    return address
      .split('.')
      .map((part) => Number(part).toString(16).padStart(2, '0'))
      .join('');
  const [before = '', after = ''] = address.split('::');
  const groups = (text: string) => text.split(':').map((group) => group.padStart(4, '0'));
  const zeros = Array(8 - groups(before).length - groups(after).length).fill('0000');
  return [...groups(before), ...zeros, ...groups(after)].join('');
}

/** Packets out of the lines of `tcpdump -x`: a heading, then lines of hexadecimal. */
function packetsOf(lines: readonly string[]): { heading: string; bytes: string }[] {
  const packets: { heading: string; bytes: string }[] = [];
  for (const line of lines) {
    const bytes = /^\s+0x[0-9a-f]+:\s+(.*)$/.exec(line)?.[1]?.replaceAll(' ', '');
    if (bytes === undefined) packets.push({ heading: line, bytes: '' });
    else packets.at(-1)!.bytes += bytes;
  }
  return packets;
}

/** Replies in fragments, ICMP errors of servers, and traffic that works, by a dispatcher that may have a fault. */
async function provoke(family: 4 | 6, mutation?: Mutation) {
  const made = createLab({ servers: 2 });
  lab = made;
  await startServers(made, 'udp-server', ['--port', udp]);
  const program = mutation === undefined ? {} : { program: buildMutant(made, mutation) };
  const dispatcher = await startDispatcher(made, CONFIG, program);
  const capture = await startCapture(made, 'client', 'to-router', 'ip or ip6', ['-x']);

  const talk = ['--host', VIP[family], '--sessions', SESSIONS, '--datagrams', 1];
  const ask = (port: number, ...more: (string | number)[]) =>
    made.tool('client', 'udp-load', [...talk, '--port', port, ...more]);
  const small = await ask(ECHO);
  const large = await ask(ECHO, '--reply-size', 4000, '--timeout', 500);
  // A build with a fault may keep the error from who waits for it.
  const hurry = mutation === undefined ? [] : ['--timeout', 500];
  const closed = await ask(CLOSED, '--connected', ...hurry);
  const counters = dispatcher.json('counters', '--all');

  // Another CPU may bring an error later than the answer to what was asked after it. A build with a fault is asked again,
  // should an error be lost on the way.
  const errors = () => packetsOf(capture.lines).filter(({ heading }) => UNREACHABLE.test(heading)).length;
  const enough = () => errors() >= SESSIONS;
  const askAgain = () => mutation && ask(CLOSED, '--connected', ...hurry).then(enough);
  await waitFor(() => enough() || askAgain(), { what: `${SESSIONS} errors: ${JSON.stringify(counters)}` });

  // Whatever was before it has been captured when this is.
  await ask(ECHO, '--size', 333);
  const last = () => packetsOf(capture.lines).filter(({ heading }) => heading.includes('length 333'));
  await waitFor(() => last().length >= SESSIONS, { what: 'the last packets' });
  const packets = packetsOf(await capture.stop());
  const servers = [1, 2].flatMap((number) => [4, 6].map((of) => hexOf(serverAddress(number, of as 4 | 6))));
  const leaks = packets.filter(({ bytes }) => servers.some((address) => bytes.includes(address)));
  return { small, large, closed, counters, packets, leaks: leaks.map(({ heading }) => heading) };
}

/** Fragments of servers are none of the dispatcher's business. */
const FRAGMENTS_PASS: Mutation = {
  file: 'forward/classify.js',
  from: 'return KIND_PASS;\n    if (parsed.fragment[index] !== FRAGMENT_NONE)',
  to: 'return KIND_PASS;\n    if (parsed.fragment[index] !== FRAGMENT_NONE) return KIND_PASS;\n    if (endpoint < 0)',
};

describe.each([4, 6] as const)('IPv%d', (family) => {
  test('replies in fragments and ICMP errors show no server', async () => {
    const { small, large, closed, counters, packets, leaks } = await provoke(family);
    expect(small).toMatchObject({ answered: SESSIONS, wrongSource: 0 });
    expect(large).toMatchObject({ answered: 0, lost: SESSIONS, wrongSource: 0 });
    expect(closed).toMatchObject({ answered: 0, errors: { ECONNREFUSED: SESSIONS } });
    expect(counters['drop-fragment']).toBe(SESSIONS * FRAGMENTS);
    expect(counters['icmp-to-client']).toBe(SESSIONS);
    const errors = packets.filter(({ heading }) => UNREACHABLE.test(heading));
    expect(errors).toHaveLength(SESSIONS);
    for (const { bytes } of errors) expect(bytes.split(hexOf(VIP[family]))).toHaveLength(3); // source, and in the quote
    expect(leaks).toEqual([]);
  });

  test.each([
    ['fragments that pass', FRAGMENTS_PASS, /frag|ip-proto-17|length 4000/],
    [
      'an error from the server itself',
      { file: 'forward/icmp-errors.js', from: 'if (ofServer)', to: 'if (ofServer && vipPort < 0)' },
      UNREACHABLE,
    ],
    [
      'a quote left as it was',
      {
        file: 'forward/icmp-errors.js',
        from: 'translate(state, index, SIDE_DESTINATION',
        to: 'void (0, SIDE_DESTINATION',
      },
      UNREACHABLE,
    ],
  ] as const)('the witness sees %s', async (_, mutation, heading) => {
    const { leaks } = await provoke(family, mutation);
    expect(leaks.length).toBeGreaterThanOrEqual(SESSIONS);
    for (const leak of leaks) expect(leak).toMatch(heading);
  });
});
