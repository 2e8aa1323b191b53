/**
 * What a lock or an entry is about: a flow, or all flows of a client; and the tuple by which replies are found.
 *
 * Service ids are 32 bits derived from names and addresses, the same on every dispatcher. Addresses are four words in
 * host order (wire/address.ts). A session key has the masked client address and no ports. Immutable; `text` is the key
 * of maps on the control path and is made when first asked for.
 */

import type { AddressWords } from '../wire/address.ts';
import { type ClusterSeed, mix } from './identity.ts';

export const KIND_FLOW = 0;
export const KIND_SESSION = 1;
export type KeyKind = typeof KIND_FLOW | typeof KIND_SESSION;

export class SessionKey {
  /** u32 id, not an index. */
  readonly service: number;
  readonly kind: KeyKind;
  readonly client: AddressWords;
  /** Host order; 0 in session keys, as is `vipPort`. */
  readonly clientPort: number;
  readonly vipPort: number;
  #text: string | undefined;

  constructor(service: number, kind: KeyKind, client: AddressWords, clientPort: number, vipPort: number) {
    this.service = service;
    this.kind = kind;
    this.client = client;
    this.clientPort = clientPort;
    this.vipPort = vipPort;
  }

  /** Unique per key. */
  get text(): string {
    this.#text ??= `${this.service}/${this.kind}/${this.client.join('.')}/${this.clientPort}/${this.vipPort}`;
    return this.#text;
  }

  /** 32 bits, keyed by the cluster: for ranks and digest ranges. */
  hash(seed: ClusterSeed): number {
    const { client } = this;
    let value = mix(seed.low ^ this.kind, this.service);
    value = mix(mix(value, client[0]), client[1]);
    value = mix(mix(value, client[2]), client[3]);
    return mix(mix(value, (this.clientPort << 16) | this.vipPort), seed.high);
  }
}

/** A reply's 5-tuple: from a server's address and port to a client's. */
export class ReplyKey {
  /** IP protocol number. */
  readonly protocol: number;
  readonly server: AddressWords;
  readonly serverPort: number;
  readonly client: AddressWords;
  readonly clientPort: number;
  #text: string | undefined;

  constructor(
    protocol: number,
    server: AddressWords,
    serverPort: number,
    client: AddressWords,
    clientPort: number,
  ) {
    this.protocol = protocol;
    this.server = server;
    this.serverPort = serverPort;
    this.client = client;
    this.clientPort = clientPort;
  }

  get text(): string {
    this.#text ??= `r${this.protocol}/${this.server.join('.')}/${this.serverPort}/${this.client.join('.')}/${this.clientPort}`;
    return this.#text;
  }
}
