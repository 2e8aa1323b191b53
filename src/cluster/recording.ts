/**
 * Opens datagrams that somebody recorded between others: what a dispatcher does with its own, from outside, with the cluster key.
 *
 * A key depends on the sender's life, which the header names, and on the unicast stream on the receiver's, which it does not: that is found among the
 * lives of the receiving dispatcher that the recording has headers of. So `note` all datagrams first where all are at hand. What a header says
 * is believed for that only; a few unproven lives of each dispatcher are kept, so that forged headers cost little.
 */

import type { NodeId } from './identity.ts';
import type { AnyRecord } from './messages.ts';
import { readRecords } from './messages-read.ts';
import { type Header, type Life, readHeader, type Sealer, STREAM_UNICAST } from './seal.ts';

/** Lives of one dispatcher that nothing has opened with; the oldest gives way. */
const MAX_UNPROVEN = 8;

export interface RecordedDatagram {
  readonly header: Header;
  /** Undefined: it does not open, with any key and receiver that is known; or its records cannot be read. */
  readonly records: readonly AnyRecord[] | undefined;
}

export class Recording {
  readonly #sealer: Sealer;
  /** By dispatcher its incarnations, the oldest first, and whether one was proven. */
  readonly #lives: ReadonlyMap<NodeId, Map<string, boolean>>;

  /** @param nodes the dispatchers of the cluster */
  constructor(sealer: Sealer, nodes: readonly NodeId[]) {
    this.#sealer = sealer;
    this.#lives = new Map(nodes.map((node) => [node, new Map<string, boolean>()]));
  }

  /** Remembers whose datagram it is. Takes any bytes. */
  note(bytes: Buffer): void {
    const sender = readHeader(bytes)?.sender;
    const lives = sender === undefined ? undefined : this.#lives.get(sender.node);
    if (sender === undefined || lives === undefined || lives.has(sender.incarnation)) return;
    const unproven = [...lives].filter(([, proven]) => !proven).map(([incarnation]) => incarnation);
    if (unproven.length >= MAX_UNPROVEN) lives.delete(unproven[0]!);
    lives.set(sender.incarnation, false);
  }

  /**
   * @param to the dispatcher that it was sent to
   * @returns undefined for what is no datagram of this protocol. Never throws.
   */
  open(bytes: Buffer, to: NodeId): RecordedDatagram | undefined {
    const header = readHeader(bytes);
    if (header === undefined) return undefined;
    this.note(bytes);
    for (const receiver of this.#receivers(header, to)) {
      const plaintext = this.#sealer.open(header, receiver, bytes);
      if (plaintext === undefined) continue;
      this.#prove(header.sender);
      if (header.stream === STREAM_UNICAST) this.#prove(receiver);
      return { header, records: readRecords(plaintext, header.sender.node) };
    }
    return { header, records: undefined };
  }

  /** Whom it may have been sealed for: its present life is the likeliest. */
  #receivers(header: Header, to: NodeId): readonly Life[] {
    if (header.stream !== STREAM_UNICAST) return [{ node: to, incarnation: '' }];
    const incarnations = [...(this.#lives.get(to)?.keys() ?? [])].reverse();
    return incarnations.map((incarnation) => ({ node: to, incarnation }));
  }

  #prove({ node, incarnation }: Life): void {
    const lives = this.#lives.get(node);
    if (lives?.has(incarnation)) lives.set(incarnation, true);
  }
}
