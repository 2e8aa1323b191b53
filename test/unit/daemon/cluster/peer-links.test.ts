/** Sealed TCP between dispatchers on loopback, with stand-ins for the threads: connections that break, pause, and end in the middle. */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { createCounters } from '../../../../src/base/counters.ts';
import { PeerLinks } from '../../../../src/daemon/cluster/peer-links.ts';
import type { Log } from '../../../../src/daemon/log.ts';
import { MAX_KEYS, type PlainKey } from '../../../../src/daemon/member/answers.ts';
import type { MemberAddress, MemberSetup } from '../../../../src/daemon/member/setup.ts';
import type { ThreadAnswer, ThreadQuestion } from '../../../../src/daemon/threads/messages.ts';
import type { Threads } from '../../../../src/daemon/threads/threads.ts';
import { parseAddress } from '../../../../src/wire/address.ts';

const ASKER: MemberAddress = { name: 'd1', node: 11, address: parseAddress('127.0.0.1')! };
const ANSWERER: MemberAddress = { name: 'd2', node: 22, address: parseAddress('127.0.0.2')! };
/** More than fits into what a connection takes before its first message is proven. */
const KEYS: PlainKey[] = Array.from({ length: MAX_KEYS }, (_, index) => [
  ...[3_735_928_559, 0, 0, 0, 65_535, 3_325_256_704 + index, 40_000 + index, 80],
]) as never;
const PIECE_BYTES = 200_000;
const PIECES = 40;

const open: PeerLinks[] = [];
afterEach(async () => {
  for (const links of open.splice(0)) await links.close();
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.2');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

type Ask = (question: ThreadQuestion) => Promise<ThreadAnswer>;

function linksOf(self: MemberAddress, peer: MemberAddress, port: number, ask: Ask): PeerLinks {
  const setup = {
    ...{ self, peers: [peer], port, incarnation: String(self.node).repeat(16) },
    clusterKeys: [new Uint8Array(32).fill(7)],
  } as unknown as MemberSetup;
  const threads = { ownCounters: createCounters(1), ask, copy: () => undefined } as unknown as Threads;
  const quiet = () => undefined;
  const links = new PeerLinks(setup, threads, { debug: quiet, info: quiet, warn: quiet } as unknown as Log);
  open.push(links);
  return links;
}

/** Answers as a dispatcher thread would, with a table of many pieces. */
const answer: Ask = async (question) => {
  switch (question.what) {
    case 'known':
      return { what: 'known', entries: question.keys.map(() => null) };
    case 'vector':
      return { what: 'vector', vector: [] };
    case 'copy': {
      const cursor = question.cursor + 1 < PIECES ? question.cursor + 1 : 0;
      return { what: 'copy', bytes: new Uint8Array(PIECE_BYTES), cursor };
    }
    default:
      throw new Error(`not asked here: ${question.what}`);
  }
};

const unasked: Ask = () => Promise.reject(new Error('nobody asks this one'));

async function answering(): Promise<number> {
  const port = await freePort();
  await linksOf(ANSWERER, ASKER, port, answer).listen();
  return port;
}

test('a conversation whose connection was closed goes on, with a full batch of keys', async () => {
  const port = await answering();
  const conversation = linksOf(ASKER, ANSWERER, port, unasked).converse(ANSWERER);
  const ask = async () => (await conversation.ask({ what: 'known', keys: KEYS })).entries.length;
  expect(await ask()).toBe(MAX_KEYS);
  await open.shift()!.close();
  const again = linksOf(ANSWERER, ASKER, port, answer);
  await again.listen();
  expect(await ask()).toBe(MAX_KEYS);
  expect(again.refused).toEqual({});
});

test('a table whose reader pauses for longer than a silent connection is kept is read to its end', async () => {
  const port = await answering();
  const table = linksOf(ASKER, ANSWERER, port, unasked).table(ANSWERER);
  let bytes = (await table.next()).value.length;
  await wait(6_000);
  for await (const piece of table) bytes += piece.length;
  expect(bytes).toBe(PIECES * PIECE_BYTES);
});

test('a copy that is given up while pieces are being taken ends without a word to nobody', async () => {
  const port = await answering();
  const takes: ((error: Error) => void)[] = [];
  const asked = (): Promise<never> => new Promise((_, reject) => takes.push(reject));
  const links = linksOf(ASKER, ANSWERER, port, asked);
  const fetched = links.fetchCopy(ANSWERER.node);
  await expect.poll(() => takes.length, { timeout: 60_000 }).toBeGreaterThan(1);
  // As at a stop: the connection ends first, and then the thread, which answers nothing any more.
  await links.close();
  for (const reject of takes.slice(1)) reject(new Error('the daemon is stopping'));
  takes[0]!(new Error('the daemon is stopping'));
  await fetched;
});
