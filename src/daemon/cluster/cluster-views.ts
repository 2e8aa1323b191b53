/** What the control socket shows of a cluster. Field names are read by scripts: add to them, do not rename. */
import type { PeerState } from '../member/answers.ts';

export interface ClusterStatus {
  /** That the configuration names; that hear and are heard; that are ready. This one is counted. */
  readonly dispatchers: number;
  readonly up: number;
  readonly ready: number;
  /** Where this one is between start and ready. */
  readonly joining: string;
  readonly incarnation: string;
  /** New flows are forwarded by hash, without an entry. */
  readonly flood: boolean;
  readonly floodElsewhere: readonly string[];
  /** Dispatchers that are not up: name to what is known of them. */
  readonly silent: Readonly<Record<string, string>>;
  /** Dispatchers whose configuration differs from ours. */
  readonly drift: readonly string[];
  readonly locks: number;
  readonly questions: number;
  readonly waitingPackets: number;
  readonly sequence: number;
  /** Group and device by which updates go to all at once; null: they are sent to each. */
  readonly multicast: string | null;
  /** Entries of services or servers that this configuration does not know. */
  readonly asideEntries: number;
  /** Datagrams on the cluster's UDP port that no key opens. */
  readonly unsealable: number;
  /** Connections on the cluster's TCP port that were refused, by why. */
  readonly refusedConnections: Readonly<Record<string, number>>;
}

export type PeerView = Omit<PeerState, 'node' | 'configuration'> & {
  readonly name: string;
  readonly address: string;
  /** Last sequence of our own broadcast stream: what it should have heard of us. */
  readonly sent: number;
  /** 8 hexadecimal digits. */
  readonly configuration: string;
  readonly drift: boolean;
};

export interface LockView {
  readonly service: string;
  /** `address:port`; of a session the address alone */
  readonly client: string;
  readonly vipPort: number;
  readonly session: boolean;
  /** Name of the dispatcher that holds it. */
  readonly holder: string;
  /** The server that the holder intends. */
  readonly server: string;
  readonly ageMs: number;
  readonly leaseLeftMs: number;
  /** Packets that wait here. */
  readonly waiting: number;
  /** Dispatchers that have not answered yet; of own locks. */
  readonly pending: readonly string[];
}

export interface ExplainView {
  readonly dispatcher: string;
  readonly answered: boolean;
  /** Of ARCHITECTURE.md; 0: none. */
  readonly rule: number;
  readonly verdict: string;
  readonly server: string;
  /** Dispatcher that it would be tunnelled to. */
  readonly to: string;
}

/** One entry that not all dispatchers have alike: by dispatcher what it says, `-` where it has none. */
export interface DiffRow {
  readonly service: string;
  readonly client: string;
  readonly vipPort: number;
  readonly says: Readonly<Record<string, string>>;
}

export interface DiffView {
  /** Entries by dispatcher, for those that answered. */
  readonly entries: Readonly<Record<string, number>>;
  /** Dispatchers that did not answer, and why. */
  readonly silent: Readonly<Record<string, string>>;
  readonly differences: readonly DiffRow[];
  /** More differences than are listed. */
  readonly unlisted: number;
}
