/** What the dispatcher thread tells of its cluster, as plain data; names are the reader's to find. */

/** Another dispatcher, as seen from here. */
export interface PeerState {
  readonly node: number;
  /** `up`: both directions work. `one-way`: it is heard and does not hear us. `silent`: not heard. `stopped`: known to be. */
  readonly state: 'up' | 'one-way' | 'silent' | 'stopped';
  /** Up, and knows the table. */
  readonly ready: boolean;
  readonly flooding: boolean;
  /** 32 hexadecimal digits, or '' while no life of it is believed. */
  readonly incarnation: string;
  /** Since it was last heard; while no life of it is believed, since our start. */
  readonly lastHeardMs: number;
  /** Last sequence of its broadcast stream that was heard. */
  readonly sequence: number;
  readonly received: number;
  readonly missing: number;
  readonly lost: number;
  readonly repaired: number;
  /** 32 bits of its configuration, and its version of the protocol; 0 before its first heartbeat. */
  readonly configuration: number;
  readonly version: number;
}

/** A client lock in the local table. */
export interface LockState {
  readonly service: number;
  readonly session: boolean;
  /** Four words, host order. */
  readonly client: readonly number[];
  readonly clientPort: number;
  readonly vipPort: number;
  /** Node that holds it: this one for its own. */
  readonly holder: number;
  /** The server that its holder intends. */
  readonly server: number;
  readonly ageMs: number;
  readonly leaseLeftMs: number;
  readonly waiting: number;
  /** Dispatchers that have not answered yet; of own locks. */
  readonly pending: readonly number[];
}

export interface ClusterState {
  readonly ready: boolean;
  /** Where this dispatcher is between start and ready. */
  readonly joining: string;
  readonly flooding: boolean;
  readonly locks: number;
  readonly questions: number;
  readonly waitingPackets: number;
  /** Last sequence of the own broadcast stream. */
  readonly sequence: number;
  readonly configuration: number;
  readonly asideEntries: number;
}

/** A packet that a person asks about. Addresses are four words, host order. */
export interface ExplainedPacket {
  readonly protocol: number;
  readonly client: readonly [number, number, number, number];
  readonly clientPort: number;
  readonly vip: readonly [number, number, number, number];
  readonly vipPort: number;
  /** Whether it would open a flow (SYN, or any datagram). */
  readonly opens: boolean;
}

/** What would happen to it. `rule` is a packet rule of cluster/PROTOCOL.md, 0: none. */
export interface Explained {
  readonly rule: number;
  readonly verdict: string;
  /** Of `forward`; 0 when none is named. */
  readonly server: number;
  /** Of `tunnel`; 0 when none is named. */
  readonly dispatcher: number;
}

/** Keys of one question about entries. */
export const MAX_KEYS = 512;

/** Key of an entry: id of the service, kind, four words of the client (host order), its port, port of the VIP. */
export type PlainKey = readonly [number, number, number, number, number, number, number, number];

/** What a dispatcher has under a key. */
export interface KnownEntry {
  /** Id of the server. */
  readonly server: number;
  /** The client's initial sequence number; 0 for UDP and sessions. */
  readonly isn: number;
}
