/**
 * The flows of the control socket: the query that selects them, and the stream that sends them.
 *
 * A table has a million entries. They are pulled from the target one by one, sent in chunks, and pulled on only when the
 * reader has taken the chunk: at any time one chunk is waiting, whatever the reader's pace.
 */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { LatchwayError } from '../../base/fault.ts';
import { familyMask, parseEndpoint, parsePrefix } from '../../wire/address.ts';
import type { ClientFilter, FlowFilter, FlowState, FlowView } from './control.ts';

const FLOW_STATES: readonly FlowState[] = ['opening', 'established', 'closing', 'udp', 'session'];

/** Characters collected before they are written: one write per some 300 flows. */
const CHUNK_SIZE = 64 * 1024;

export interface FlowQuery {
  readonly filter: FlowFilter;
  /** At most so many; Infinity: all. */
  readonly limit: number;
  /** `json`: one array, one element a line. `ndjson`: one object a line. */
  readonly format: 'json' | 'ndjson';
  /** Of all dispatchers, merged. */
  readonly cluster: boolean;
}

const QUERY_KEYS = ['service', 'server', 'state', 'client', 'limit', 'format', 'cluster'];

/** Trailer of the answer about a cluster: JSON, dispatchers that did not answer and why. */
export const UNANSWERED_TRAILER = 'latchway-unanswered';

/**
 * Reads `service=web&server=s1&state=established&client=198.51.100.0/24&limit=10&format=ndjson&cluster=true`.
 * @throws LatchwayError `usage` with one line
 */
export function parseFlowQuery(params: URLSearchParams): FlowQuery {
  for (const key of params.keys())
    if (!QUERY_KEYS.includes(key))
      throw usage(`unknown parameter '${key}': known are ${QUERY_KEYS.join(', ')}`);
  const text = (key: string): string | undefined => params.get(key) ?? undefined;
  const format = text('format') ?? 'json';
  if (format !== 'json' && format !== 'ndjson') throw usage(`format must be json or ndjson, not '${format}'`);
  const cluster = text('cluster') ?? 'false';
  if (cluster !== 'true' && cluster !== 'false')
    throw usage(`cluster must be true or false, not '${cluster}'`);
  return {
    cluster: cluster === 'true',
    filter: {
      service: text('service'),
      server: text('server'),
      state: parseState(text('state')),
      client: parseClient(text('client')),
    },
    limit: parseLimit(text('limit')),
    format,
  };
}

function usage(detail: string): LatchwayError {
  return new LatchwayError({ code: 'usage', detail });
}

function parseState(text: string | undefined): FlowState | undefined {
  if (text === undefined) return undefined;
  const state = FLOW_STATES.find((one) => one === text);
  if (state === undefined) throw usage(`state must be one of ${FLOW_STATES.join(', ')}, not '${text}'`);
  return state;
}

function parseLimit(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  if (!/^[1-9]\d{0,9}$/.test(text)) throw usage(`limit must be a whole number from 1, not '${text}'`);
  return Number(text);
}

/** An address, an address with a port, or a prefix. */
function parseClient(text: string | undefined): ClientFilter | undefined {
  if (text === undefined) return undefined;
  const endpoint = parseEndpoint(text);
  const prefix = endpoint === undefined ? parsePrefix(text) : undefined;
  const address = endpoint?.address ?? prefix?.address;
  if (address === undefined)
    throw usage(`client must be an address, address:port or a prefix, not '${text}'`);
  const mask = familyMask(address.family, prefix?.bits ?? (address.family === 4 ? 32 : 128));
  const word = (index: 0 | 1 | 2 | 3): number => (address.words[index] & mask[index]) >>> 0;
  return { words: [word(0), word(1), word(2), word(3)], mask, port: endpoint?.port };
}

/**
 * Sends flows as they come; ends the stream. Stops pulling as soon as the reader is gone.
 * @param beforeEnd called when all was sent, before the end is
 * @throws what the flows throw
 */
export async function writeFlows(
  flows: AsyncIterable<FlowView> | Iterable<FlowView>,
  query: Pick<FlowQuery, 'limit' | 'format'>,
  out: Writable,
  beforeEnd: () => void = () => {},
): Promise<void> {
  const array = query.format === 'json';
  let chunk = array ? '[' : '';
  let count = 0;
  for await (const flow of flows) {
    chunk += `${array && count > 0 ? ',' : ''}${array ? '\n' : ''}${JSON.stringify(flow)}${array ? '' : '\n'}`;
    count++;
    if (chunk.length >= CHUNK_SIZE) {
      if (!(await sendChunk(out, chunk))) return;
      chunk = '';
    }
    if (count >= query.limit) break;
  }
  beforeEnd();
  out.end(array ? `${chunk}\n]\n` : chunk);
}

/** @returns false when the reader is gone. */
async function sendChunk(out: Writable, chunk: string): Promise<boolean> {
  if (out.destroyed) return false;
  if (!out.write(chunk)) {
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    out.once('close', onClose);
    await once(out, 'drain', { signal: gone.signal }).catch(() => undefined);
    out.off('close', onClose);
  }
  // A reader that keeps up would otherwise hold the event loop, and the health checks with it.
  await setImmediate();
  return !out.destroyed;
}
