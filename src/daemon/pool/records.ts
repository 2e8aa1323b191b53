/** What the pool knows of one service and of one server. */
import type { Prefix } from '../../wire/address.ts';
import type { ServerConfig, ServiceConfig } from '../config/services.ts';

export interface ServerRecord {
  readonly index: number;
  readonly id: string;
  readonly config: ServerConfig;
  readonly endpoint: number;
  /** Weight in force: the configured one, or what an operator set since. */
  weight: number;
  /** Set by `--drain`: the weight counts as 0 until `--enable`. */
  drained: boolean;
  leaving: boolean;
  /** Added by a reload, and not all dispatchers are known to have it: no new flows, if there is another server. */
  fresh: boolean;
  up: boolean;
  /** Wall-clock ms of the last change between up and down, for people; never compared between machines. */
  upSince: number;
  detail: string;
  mtuBytes: number;
  subnet: Prefix | undefined;
}

export interface ServiceRecord {
  readonly index: number;
  readonly id: string;
  readonly config: ServiceConfig;
  servers: ServerRecord[];
  maglev: Uint16Array | undefined;
  maglevOf: string;
}
