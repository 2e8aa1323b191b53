/**
 * Question after question to one other dispatcher over one connection, one at a time.
 *
 * Who asks may pause for as long as its reader does, and the other end gives up a silent connection; so a question that fails on a
 * connection which has answered before is asked once more on a new one.
 */
import type { ThreadAnswer, ThreadQuestion } from '../threads/messages.ts';
import { FRAME_ANSWER, FRAME_REQUEST, type PeerStream } from './peer-stream.ts';

export class Conversation {
  readonly #connect: () => PeerStream;
  #stream: PeerStream | undefined;

  constructor(connect: () => PeerStream) {
    this.#connect = connect;
  }

  /** @throws Error when the other does not answer */
  async ask<What extends ThreadQuestion['what']>(
    question: ThreadQuestion & { readonly what: What },
  ): Promise<Extract<ThreadAnswer, { readonly what: What }>> {
    const answered = this.#stream !== undefined;
    try {
      return (await this.#ask(question)) as Extract<ThreadAnswer, { readonly what: What }>;
    } catch (error) {
      this.close();
      if (!answered) throw error;
      return (await this.#ask(question)) as Extract<ThreadAnswer, { readonly what: What }>;
    }
  }

  close(): void {
    this.#stream?.close();
    this.#stream = undefined;
  }

  async #ask(question: ThreadQuestion): Promise<ThreadAnswer> {
    if (this.#stream === undefined) {
      this.#stream = this.#connect();
      // Until a caller has proven itself only little is taken from it (frames.ts), less than a full batch of keys.
      await exchange(this.#stream, { what: 'known', keys: [] });
    }
    return exchange(this.#stream, question);
  }
}

async function exchange(stream: PeerStream, question: ThreadQuestion): Promise<ThreadAnswer> {
  await stream.send(FRAME_REQUEST, JSON.stringify(question));
  const frame = await stream.next();
  if (frame === undefined || frame.kind !== FRAME_ANSWER) throw new Error(stream.whyEnded);
  return JSON.parse(frame.body.toString()) as ThreadAnswer;
}
