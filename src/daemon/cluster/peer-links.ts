/**
 * What dispatchers want of each other beyond datagrams: a copy of the table, and answers for people. One sealed TCP connection a question.
 *
 *     asks { "what": "copy" }             pieces of records, then the end with the vector that the copy includes
 *     asks { "what": "explain", ... }     one answer
 *     asks { "what": "known", "keys": [] }   one answer; the same connection may ask again
 *     asks { "what": "peers" | "locks" | "cluster" }
 *
 * Both ends are main threads; the dispatcher thread is asked piece by piece, the next one when there is room on the wire.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { z } from 'zod';
import { COUNTER } from '../../base/counters.ts';
import { LatchwayError } from '../../base/fault.ts';
import type { VectorPart } from '../../cluster/joining.ts';
import { KIND_FLOW, KIND_SESSION } from '../../cluster/session-key.ts';
import { formatAddress, parseAddress } from '../../wire/address.ts';
import type { Log } from '../log.ts';
import { MAX_KEYS } from '../member/answers.ts';
import type { MemberAddress, MemberSetup } from '../member/setup.ts';
import type { ThreadAnswer, ThreadQuestion } from '../threads/messages.ts';
import type { Threads } from '../threads/threads.ts';
import { Conversation } from './conversation.ts';
import { FRAME_ANSWER, FRAME_END, FRAME_PIECE, FRAME_REQUEST, PeerStream } from './peer-stream.ts';

/** Connections of others at one time: a copy and some questions of each dispatcher. */
const MAX_CONNECTIONS = 256;
/** From the connection to a whole, sealed request: who cannot say it by then is not waited for. */
const REQUEST_MS = 4_000;
/** Pieces of a copy that the dispatcher thread may be given before it has taken them in. */
const PIECES_AHEAD = 2;
const REFUSED = COUNTER['cluster-refused-connection'];

const WORDS = z.tuple([z.uint32(), z.uint32(), z.uint32(), z.uint32()]);
const PORT = z.int().min(0).max(65_535);
const KEY = z.tuple([
  z.uint32(),
  z.int().min(KIND_FLOW).max(KIND_SESSION),
  z.uint32(),
  z.uint32(),
  z.uint32(),
  z.uint32(),
  PORT,
  PORT,
]);
const QUESTION: z.ZodType<ThreadQuestion> = z.discriminatedUnion('what', [
  z.strictObject({ what: z.literal('copy'), cursor: z.literal(0) }),
  z.strictObject({ what: z.literal('peers') }),
  z.strictObject({ what: z.literal('locks') }),
  z.strictObject({ what: z.literal('cluster') }),
  z.strictObject({ what: z.literal('known'), keys: z.array(KEY).max(MAX_KEYS) }),
  z.strictObject({
    what: z.literal('explain'),
    packet: z.strictObject({
      protocol: z.int().min(0).max(255),
      client: WORDS,
      clientPort: PORT,
      vip: WORDS,
      vipPort: PORT,
      opens: z.boolean(),
    }),
  }),
]);
const VECTOR: z.ZodType<readonly VectorPart[]> = z
  .array(z.strictObject({ node: z.uint32(), tag: z.uint32(), sequence: z.int().nonnegative() }))
  .max(1024);

export class PeerLinks {
  /** Connections that were refused, by why. */
  readonly refused: Record<string, number> = {};
  readonly #setup: MemberSetup;
  readonly #threads: Threads;
  readonly #log: Log;
  readonly #clusterKeys: readonly Buffer[];
  readonly #open = new Set<PeerStream>();
  #server: Server | undefined;
  #closed = false;

  constructor(setup: MemberSetup, threads: Threads, log: Log) {
    this.#setup = setup;
    this.#threads = threads;
    this.#log = log;
    this.#clusterKeys = setup.clusterKeys.map((key) => Buffer.from(key));
  }

  /** Answers other dispatchers from now on. @throws LatchwayError host-conflict when address or port cannot be had */
  async listen(): Promise<void> {
    const server = createServer((socket) => {
      this.#serve(socket).catch((error: unknown) => {
        if (!this.#closed)
          this.#log.debug({ error: String(error) }, 'a connection of another dispatcher ended');
      });
    });
    server.maxConnections = MAX_CONNECTIONS;
    server.on('drop', () => this.#refuse('too-many'));
    const host = formatAddress(this.#setup.self.address);
    const { port } = this.#setup;
    await new Promise<void>((resolve, reject) => {
      // After the start: of one connection that could not be taken. The next may be.
      server.on('error', (error) => {
        const what = `cluster address ${host}, TCP port ${port}: ${(error as Error).message}`;
        reject(
          new LatchwayError({
            code: 'host-conflict',
            what,
            remedy:
              'the address must be one of this host, and the port free: see cluster.dispatchers and cluster.port',
          }),
        );
      });
      server.listen({ host, port }, resolve);
    });
    this.#server = server;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stream of this.#open) stream.close();
    const server = this.#server;
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  /** Fetches the table of a dispatcher into the dispatcher thread, which is told how it ended. */
  async fetchCopy(from: number): Promise<void> {
    const peer = this.#setup.peers.find(({ node }) => node === from);
    try {
      if (peer === undefined) throw new Error('no such dispatcher');
      let vector: readonly VectorPart[] | undefined;
      let bytes = 0;
      const taking: Promise<unknown>[] = [];
      for await (const frame of this.#ask(peer, { what: 'copy', cursor: 0 })) {
        if (frame.kind === FRAME_PIECE) {
          bytes += frame.body.length;
          const taken = this.#threads.ask({ what: 'take', from, bytes: Uint8Array.from(frame.body) });
          // It may fail while nobody waits for it: when the thread ends.
          taken.catch(() => undefined);
          taking.push(taken);
          if (taking.length >= PIECES_AHEAD) await taking.shift();
        } else if (frame.kind === FRAME_END) vector = VECTOR.parse(JSON.parse(frame.body.toString()));
      }
      await Promise.all(taking);
      if (vector === undefined) throw new Error('the connection ended before the copy did');
      this.#threads.copy({ type: 'copy-end', vector });
      this.#log.info({ from: peer.name, bytes }, 'the table was copied');
    } catch (error) {
      if (this.#closed) return;
      this.#log.warn({ from: peer?.name ?? from, error: String(error) }, 'the table could not be copied');
      this.#threads.copy({ type: 'copy-failed' });
    }
  }

  /** Asks another dispatcher. @throws Error when it does not answer */
  async ask<What extends 'peers' | 'locks' | 'cluster' | 'explain'>(
    peer: MemberAddress,
    question: ThreadQuestion & { readonly what: What },
  ): Promise<Extract<ThreadAnswer, { readonly what: What }>> {
    for await (const frame of this.#ask(peer, question)) {
      if (frame.kind === FRAME_ANSWER) return JSON.parse(frame.body.toString());
    }
    throw new Error('the connection ended without an answer');
  }

  /** A connection for many questions, opened with the first one and anew after a failure. */
  converse(peer: MemberAddress): Conversation {
    return new Conversation(() => this.#connect(peer));
  }

  /** The table of another dispatcher, as pieces of records. @throws Error when it ends before its end */
  async *table(peer: MemberAddress): AsyncGenerator<Buffer> {
    for await (const frame of this.#ask(peer, { what: 'copy', cursor: 0 })) {
      if (frame.kind === FRAME_PIECE) yield frame.body;
    }
  }

  /** What comes, up to the end that the other says. @throws Error when the connection ends before */
  async *#ask(peer: MemberAddress, question: ThreadQuestion): AsyncGenerator<{ kind: number; body: Buffer }> {
    const stream = this.#connect(peer);
    try {
      await stream.send(FRAME_REQUEST, JSON.stringify(question));
      for (let frame = await stream.next(); frame !== undefined; frame = await stream.next()) {
        yield frame;
        if (frame.kind === FRAME_END) return;
      }
      throw new Error(stream.whyEnded);
    } finally {
      stream.close();
    }
  }

  #connect(peer: MemberAddress): PeerStream {
    const socket = connect({
      host: formatAddress(peer.address),
      port: this.#setup.port,
      localAddress: formatAddress(this.#setup.self.address),
    });
    return this.#stream(socket, true, (node) => node === peer.node);
  }

  async #serve(socket: Socket): Promise<void> {
    if (!this.#isPeer(socket.remoteAddress)) {
      this.#refuse('address');
      socket.destroy();
      return;
    }
    const stream = this.#stream(socket, false, (node) =>
      this.#setup.peers.some((peer) => peer.node === node),
    );
    const late = setTimeout(() => stream.close('too-slow'), REQUEST_MS);
    try {
      let frame = await stream.next();
      clearTimeout(late);
      if (frame?.kind !== FRAME_REQUEST) return this.#refuse(stream.fault ?? 'no-request');
      // The other end closes when it has read all that it wants.
      for (; frame !== undefined; frame = await stream.next()) {
        const question = QUESTION.safeParse(frame.kind === FRAME_REQUEST ? parseJson(frame.body) : undefined);
        if (!question.success) return this.#refuse('bad-request');
        if (question.data.what === 'copy') await this.#serveCopy(stream);
        else await stream.send(FRAME_ANSWER, JSON.stringify(await this.#threads.ask(question.data)));
      }
    } catch (error) {
      if (stream.fault !== undefined) this.#refuse(stream.fault);
      throw error;
    } finally {
      clearTimeout(late);
      stream.close();
    }
  }

  async #serveCopy(stream: PeerStream): Promise<void> {
    const { vector } = await this.#threads.ask({ what: 'vector' });
    let piece = await this.#threads.ask({ what: 'copy', cursor: 0 });
    while (piece.cursor !== 0) {
      // The next one is made while this one is on its way.
      const next = this.#threads.ask({ what: 'copy', cursor: piece.cursor });
      const [made] = await Promise.all([next, stream.send(FRAME_PIECE, piece.bytes)]);
      piece = made;
    }
    await stream.send(FRAME_PIECE, piece.bytes);
    await stream.send(FRAME_END, JSON.stringify(vector));
  }

  #stream(socket: Socket, caller: boolean, isKnown: (node: number) => boolean): PeerStream {
    const { self, incarnation } = this.#setup;
    const stream = new PeerStream({
      socket,
      caller,
      self: { node: self.node, incarnation },
      clusterKeys: this.#clusterKeys,
      isKnown,
    });
    this.#open.add(stream);
    socket.once('close', () => this.#open.delete(stream));
    return stream;
  }

  /** Dispatchers call from the addresses that the configuration names. */
  #isPeer(text: string | undefined): boolean {
    const address = text === undefined ? undefined : parseAddress(text);
    return this.#setup.peers.some((peer) =>
      peer.address.words.every((word, at) => word === address?.words[at]),
    );
  }

  #refuse(why: string): void {
    const { ownCounters } = this.#threads;
    ownCounters[REFUSED] = ownCounters[REFUSED]! + 1;
    this.refused[why] = (this.refused[why] ?? 0) + 1;
  }
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}
