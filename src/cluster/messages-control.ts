/**
 * Records that dispatchers exchange about themselves and their streams, and their bytes.
 *
 *     type   body (big-endian)
 *     32 hello            challenge 16
 *     33 hello-ack        echo 16, last broadcast sequence u48: what comes of that stream up to there is old
 *     34 heartbeat        flags u8 (1 ready, 2 flooding, 4 a flood is remembered), last broadcast sequence u48,
 *                         configuration hash u32, protocol version u8, count u8, count x (node u32, incarnation tag u32)
 *     35 repair-request   count u8, count x sequence u48
 *     36 repair           held ms u32, size u16, the sealed datagram as it was
 *     37 gone             count u8, count x sequence u48
 *     38 digest           256 x u32
 *     39 leave            -
 */

import type { ByteReader, ByteWriter } from './bytes.ts';
import type { NodeId } from './identity.ts';

export const DIGEST_RANGES = 256;
/** Sequences in one request: 6 bytes each, so that it fits any datagram. */
export const MAX_SEQUENCES = 128;
export const CHALLENGE_SIZE = 16;

export interface HeartbeatRecord {
  readonly type: 'heartbeat';
  readonly ready: boolean;
  readonly flooding: boolean;
  /** A flood is remembered: a joiner has no memory of its own. */
  readonly flooded: boolean;
  /** Last sequence of the broadcast stream: shows the loss of its tail. */
  readonly lastSequence: number;
  readonly configuration: number;
  readonly version: number;
  /** Whom the sender hears, in which incarnation (rule 4). */
  readonly hears: readonly { readonly node: NodeId; readonly tag: number }[];
}

export type ControlRecord =
  | { readonly type: 'hello'; readonly challenge: Buffer }
  | { readonly type: 'hello-ack'; readonly echo: Buffer; readonly lastSequence: number }
  | HeartbeatRecord
  | { readonly type: 'repair-request' | 'gone'; readonly sequences: readonly number[] }
  | { readonly type: 'repair'; readonly heldMs: number; readonly datagram: Buffer }
  | { readonly type: 'digest'; readonly ranges: Uint32Array }
  | { readonly type: 'leave' };

const TYPES = {
  hello: 32,
  'hello-ack': 33,
  heartbeat: 34,
  'repair-request': 35,
  repair: 36,
  gone: 37,
  digest: 38,
  leave: 39,
} as const;

/** Bytes that the record takes, an upper bound. */
export function controlSize(record: ControlRecord): number {
  switch (record.type) {
    case 'hello':
      return 1 + CHALLENGE_SIZE;
    case 'hello-ack':
      return 7 + CHALLENGE_SIZE;
    case 'heartbeat':
      return 14 + record.hears.length * 8;
    case 'repair-request':
    case 'gone':
      return 2 + record.sequences.length * 6;
    case 'repair':
      return 7 + record.datagram.length;
    case 'digest':
      return 1 + DIGEST_RANGES * 4;
    case 'leave':
      return 1;
  }
}

export function writeControl(writer: ByteWriter, record: ControlRecord): void {
  writer.u8(TYPES[record.type]);
  switch (record.type) {
    case 'hello':
      writer.raw(record.challenge);
      break;
    case 'hello-ack':
      writer.raw(record.echo);
      writer.u48(record.lastSequence);
      break;
    case 'heartbeat':
      writer.u8((record.ready ? 1 : 0) | (record.flooding ? 2 : 0) | (record.flooded ? 4 : 0));
      writer.u48(record.lastSequence);
      writer.u32(record.configuration);
      writer.u8(record.version);
      writer.u8(record.hears.length);
      for (const one of record.hears) {
        writer.u32(one.node);
        writer.u32(one.tag);
      }
      break;
    case 'repair-request':
    case 'gone':
      writer.u8(record.sequences.length);
      for (const sequence of record.sequences) writer.u48(sequence);
      break;
    case 'repair':
      writer.duration(record.heldMs);
      writer.u16(record.datagram.length);
      writer.raw(record.datagram);
      break;
    case 'digest':
      for (const range of record.ranges) writer.u32(range);
      break;
    case 'leave':
      break;
  }
}

/** @returns undefined for a type that is no control record; look at `reader.failed` too. */
export function readControl(type: number, reader: ByteReader): ControlRecord | undefined {
  switch (type) {
    case TYPES.hello:
      return { type: 'hello', challenge: reader.raw(CHALLENGE_SIZE) };
    case TYPES['hello-ack']:
      return { type: 'hello-ack', echo: reader.raw(CHALLENGE_SIZE), lastSequence: reader.u48() };
    case TYPES.heartbeat:
      return readHeartbeat(reader);
    case TYPES['repair-request']:
      return { type: 'repair-request', sequences: readSequences(reader) };
    case TYPES.gone:
      return { type: 'gone', sequences: readSequences(reader) };
    case TYPES.repair: {
      const heldMs = reader.u32();
      return { type: 'repair', heldMs, datagram: reader.raw(reader.u16()) };
    }
    case TYPES.digest: {
      const ranges = new Uint32Array(DIGEST_RANGES);
      for (let index = 0; index < DIGEST_RANGES; index++) ranges[index] = reader.u32();
      return { type: 'digest', ranges };
    }
    case TYPES.leave:
      return { type: 'leave' };
    default:
      return undefined;
  }
}

function readHeartbeat(reader: ByteReader): HeartbeatRecord {
  const flags = reader.u8();
  const lastSequence = reader.u48();
  const configuration = reader.u32();
  const version = reader.u8();
  const hears: { node: number; tag: number }[] = [];
  for (let left = reader.u8(); left > 0 && !reader.failed; left--) {
    hears.push({ node: reader.u32(), tag: reader.u32() });
  }
  return {
    type: 'heartbeat',
    ready: (flags & 1) !== 0,
    flooding: (flags & 2) !== 0,
    flooded: (flags & 4) !== 0,
    lastSequence,
    configuration,
    version,
    hears,
  };
}

function readSequences(reader: ByteReader): number[] {
  const sequences: number[] = [];
  const count = reader.u8();
  if (count > MAX_SEQUENCES) reader.failed = true;
  for (let left = count; left > 0 && !reader.failed; left--) sequences.push(reader.u48());
  return sequences;
}
