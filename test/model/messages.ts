/**
 * Messages by text: the same record from the same sender to the same receiver is one value. Copies of it in flight stay apart, each to be delivered
 * or lost.
 */

import type { Packet } from '../../src/cluster/context.ts';
import type { SessionRecord } from '../../src/cluster/records.ts';
import { Digest, finish } from './digest.ts';
import { Moments } from './steps.ts';

export interface Message {
  /** Unique per text. */
  readonly id: number;
  readonly from: number;
  readonly to: number;
  /** A record, or a packet in a tunnel. */
  readonly cargo: SessionRecord | Packet;
  /** Of the repaired stream: cannot be lost while its sender lives. */
  readonly durable: boolean;
  readonly text: string;
  readonly a: number;
  readonly b: number;
}

/** All messages that a search has met. */
export class Messages {
  readonly byText = new Map<string, Message>();
  readonly moments = new Moments();

  of(from: number, to: number, cargo: SessionRecord | Packet, durable: boolean): Message {
    const text = `${from}>${to} ${textOf(cargo)}${durable ? ' durable' : ''}`;
    const known = this.byText.get(text);
    if (known !== undefined) return known;
    const digest = new Digest();
    digest.text(text);
    const id = this.byText.size + 1;
    const message = { id, from, to, cargo, durable, text, a: finish(digest.a), b: finish(digest.b) };
    this.byText.set(text, message);
    return message;
  }
}

const textCache = new WeakMap<object, string>();

function textOf(cargo: SessionRecord | Packet): string {
  if ('handle' in cargo) return `tunnel ${cargo.handle} ${cargo.hops}`;
  let text = textCache.get(cargo);
  if (text === undefined) {
    text = JSON.stringify(cargo, (name, value) => (name === 'key' || name === 'about' ? value.text : value));
    textCache.set(cargo, text);
  }
  return text;
}
