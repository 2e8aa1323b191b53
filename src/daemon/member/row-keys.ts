/**
 * From the protocol's keys to rows of the dispatch table, and back: ids become indexes, reply tuples endpoints.
 */
import { KIND_FLOW, KIND_SESSION, ReplyKey, SessionKey } from '../../cluster/session-key.ts';
import type { PathState } from '../../forward/path-state.ts';
import { flowMeta, NO_ROW, packEndpointPort, packPorts, sessionMeta } from '../../table/flow-row.ts';
import type { TableReader } from '../../table/table-reader.ts';
import { type Ids, UNKNOWN } from './ids.ts';

export class RowKeys {
  readonly #table: TableReader;
  readonly #state: PathState;
  readonly #ids: Ids;

  constructor(table: TableReader, state: PathState, ids: Ids) {
    this.#table = table;
    this.#state = state;
    this.#ids = ids;
  }

  /** @returns row of the key, or NO_ROW. */
  rowOf(key: SessionKey): number {
    const service = this.#ids.serviceIndex(key.service);
    if (service === UNKNOWN) return NO_ROW;
    const table = this.#table;
    const [a0, a1, a2, a3] = key.client;
    const session = key.kind === KIND_SESSION;
    const ports = session ? 0 : packPorts(key.clientPort, key.vipPort);
    const meta = session ? sessionMeta(service) : flowMeta(service);
    const hash = table.hashForward(a0 | 0, a1 | 0, a2 | 0, a3 | 0, ports, meta);
    return table.findForward(hash, a0 | 0, a1 | 0, a2 | 0, a3 | 0, ports, meta);
  }

  /** The key of a row. */
  keyOf(row: number): SessionKey {
    const table = this.#table;
    const session = table.isSession(row);
    return new SessionKey(
      this.#ids.serviceId(table.service(row)),
      session ? KIND_SESSION : KIND_FLOW,
      [
        table.clientWord(row, 0) >>> 0,
        table.clientWord(row, 1) >>> 0,
        table.clientWord(row, 2) >>> 0,
        table.clientWord(row, 3) >>> 0,
      ],
      session ? 0 : table.clientPort(row),
      session ? 0 : table.vipPort(row),
    );
  }

  /** Reply tuple of a flow on a server, or undefined where replies do not come back, or the other flow that has it is first. */
  replyOf(key: SessionKey, serverId: number): ReplyKey | undefined {
    const { services } = this.#state;
    const service = this.#ids.serviceIndex(key.service);
    const server = this.#ids.serverIndex(serverId);
    if (service === UNKNOWN || server === UNKNOWN || key.kind === KIND_SESSION || services.isOneWay(service))
      return undefined;
    const at = server * 4;
    const words = services.serverAddress;
    return new ReplyKey(
      services.protocol[service]!,
      [words[at]! >>> 0, words[at + 1]! >>> 0, words[at + 2]! >>> 0, words[at + 3]! >>> 0],
      services.serverPort[server]! || key.vipPort,
      key.client,
      key.clientPort,
    );
  }

  /** Word of the reverse key, 0 for none. */
  endpointPort(reply: ReplyKey | undefined): number {
    if (reply === undefined) return 0;
    const [s0, s1, s2, s3] = reply.server;
    const endpoint = this.#state.services.findEndpoint(s0 | 0, s1 | 0, s2 | 0, s3 | 0, reply.protocol);
    return endpoint < 0 ? 0 : packEndpointPort(endpoint, reply.serverPort);
  }

  /** The session that a flow of this service belongs to. */
  sessionOf(service: number, flow: SessionKey): SessionKey {
    const { mask } = this.#state.services;
    const at = service * 4;
    const [a0, a1, a2, a3] = flow.client;
    return new SessionKey(
      flow.service,
      KIND_SESSION,
      [
        (a0 & mask[at]!) >>> 0,
        (a1 & mask[at + 1]!) >>> 0,
        (a2 & mask[at + 2]!) >>> 0,
        (a3 & mask[at + 3]!) >>> 0,
      ],
      0,
      0,
    );
  }
}
