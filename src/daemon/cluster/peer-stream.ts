/**
 * One TCP connection between two dispatchers, sealed (cluster/frames.ts): messages in and out, with back-pressure.
 *
 * A message is a frame: its first byte is the kind, the rest JSON or, of a piece of a copy, records.
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { SealedStream, type StreamFault } from '../../cluster/frames.ts';
import type { NodeId } from '../../cluster/identity.ts';
import type { Life } from '../../cluster/seal.ts';

/** JSON: what is asked. */
export const FRAME_REQUEST = 1;
/** JSON: the answer, or one row of it. */
export const FRAME_ANSWER = 2;
/** Records of entries. */
export const FRAME_PIECE = 3;
/** JSON: nothing more follows. */
export const FRAME_END = 4;

export interface Frame {
  readonly kind: number;
  readonly body: Buffer;
}

/** Silence after which a connection is given up. */
const IDLE_MS = 5_000;
/** A reader must make room for one message in this time. */
const SEND_MS = 30_000;

/** Why a connection was given up, beyond what its bytes showed. */
export type ConnectionFault = StreamFault | 'too-slow' | 'slow-reader' | 'silent';

export class PeerStream {
  readonly #socket: Socket;
  readonly #sealed: SealedStream;
  readonly #frames: Frame[] = [];
  #wake: () => void = () => {};
  #ended = false;
  #why: string | undefined;
  fault: ConnectionFault | undefined;

  constructor(options: {
    readonly socket: Socket;
    readonly caller: boolean;
    readonly self: Life;
    readonly clusterKeys: readonly Buffer[];
    readonly isKnown: (node: NodeId) => boolean;
  }) {
    const { socket } = options;
    this.#socket = socket;
    this.#sealed = new SealedStream({ ...options, nonce: randomBytes(16) });
    socket.setNoDelay(true);
    socket.setTimeout(IDLE_MS);
    socket.on('timeout', () => {
      this.#why ??= `silent for ${IDLE_MS / 1000} s`;
      this.close('silent');
    });
    socket.on('data', (bytes) => this.#take(bytes));
    socket.on('error', (error) => {
      this.#why ??= reasonOf(error);
      this.#end();
    });
    socket.on('close', () => this.#end());
    socket.write(this.#sealed.hello());
  }

  /** The other end; undefined before its hello. */
  get peer(): Life | undefined {
    return this.#sealed.peer;
  }

  /** Why the connection has ended, for a person who waited for an answer. */
  get whyEnded(): string {
    if (this.#why !== undefined) return this.#why;
    if (this.fault !== undefined) return `what came is not sealed as it should be (${this.fault})`;
    return this.#sealed.proven
      ? 'it closed the connection'
      : 'it closed the connection unanswered: it may have another cluster key, or not name this dispatcher';
  }

  /** The next message, or undefined when the connection has ended. */
  async next(): Promise<Frame | undefined> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined) {
        if (this.#frames.length === 0) this.#read(true);
        return frame;
      }
      if (this.#ended) return undefined;
      await this.#change();
    }
  }

  /** Sends a message; resolves when there is room for more. @throws Error when the connection has ended */
  async send(kind: number, body: Uint8Array | string): Promise<void> {
    while (this.#sealed.peer === undefined && !this.#ended) await this.#change();
    if (this.#ended) throw new Error(this.whyEnded);
    const bytes = Buffer.concat([Buffer.of(kind), typeof body === 'string' ? Buffer.from(body) : body]);
    if (this.#socket.write(this.#sealed.seal(bytes))) return;
    await new Promise<void>((resolve) => {
      const late = setTimeout(() => this.close('slow-reader'), SEND_MS);
      const done = (): void => {
        clearTimeout(late);
        this.#socket.off('drain', done);
        this.#socket.off('close', done);
        resolve();
      };
      this.#socket.on('drain', done);
      this.#socket.on('close', done);
    });
  }

  /** @param fault why, where the other end is to blame */
  close(fault?: ConnectionFault): void {
    if (!this.#ended) this.fault ??= fault;
    this.#socket.destroy();
    this.#end();
  }

  #take(bytes: Buffer): void {
    const frames = this.#sealed.receive(bytes);
    if (typeof frames === 'string') {
      this.close(frames);
      return;
    }
    for (const frame of frames) {
      if (frame.length > 0) this.#frames.push({ kind: frame[0]!, body: frame.subarray(1) });
    }
    // What is not read yet must not pile up here.
    if (this.#frames.length > 0) this.#read(false);
    this.#wake();
  }

  /** While nobody takes what has come, the silence is our own. */
  #read(on: boolean): void {
    this.#socket.setTimeout(on ? IDLE_MS : 0);
    if (on) this.#socket.resume();
    else this.#socket.pause();
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'nobody listens there (ECONNREFUSED)';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return `it cannot be reached (${error.code})`;
    default:
      return error.message;
  }
}
