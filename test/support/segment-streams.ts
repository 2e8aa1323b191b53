/**
 * Packets of a few interleaved flows, most of them segments that continue their stream, some that break it in one way or another:
 * what the joining of segments is tried with. Recipes come from fast-check, so that they shrink.
 */
import fc from 'fast-check';
import { type BuiltPacket, extension, type TcpSpec, tcpPacket, udpPacket } from './packets.ts';

/** The first two share a place among the frames that may grow (coalesce.ts), so that only a comparison tells them apart. */
const ENDS = [
  { source: '192.0.2.1', destination: '198.51.100.2', sourcePort: 4000, destinationPort: 80 },
  { source: '192.0.2.1', destination: '198.51.100.2', sourcePort: 4139, destinationPort: 80 },
  { source: '2001:db8::1', destination: '2001:db8:1::2', sourcePort: 4000, destinationPort: 80 },
] as const;
const SIZE = 48;

/** What a packet does to its stream, apart from continuing it. */
const KINDS = [
  ['gap', { skip: 48 }],
  ['repeat', { skip: -48 }],
  ['other-id', { idStep: 3 }],
  ['other-tos', { spec: { tos: 3 } }],
  ['other-ttl', { spec: { ttl: 9 } }],
  ['other-df', { spec: { dontFragment: false } }],
  ['other-ack', { spec: { acknowledgment: 77 } }],
  ['other-window', { spec: { window: 5 } }],
  ['urgent-pointer', { spec: { urgent: 1 } }],
  ['other-options', { spec: { options: Buffer.from([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 9]) } }],
  ['same-size-options', { spec: { options: Buffer.from([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 8]) } }],
  ['fragment', { spec: { fragmentBits: 0x2000 }, stays: true }],
  ['ip-options', { spec: { ipOptions: Buffer.alloc(4, 1), extensions: [extension(60)] }, stays: true }],
  ['bad-payload', { spoil: 'last' }],
  ['bad-checksum', { spoil: 'checksum' }],
  ['partial', { spec: { partial: true } }],
  ['super', { spec: { gsoSize: SIZE } }],
  ['other-super', { spec: { gsoSize: 32 } }],
  ['datagram', {}],
  ['stray-reset', { spec: { flags: 0x14 }, stays: true }],
  ['empty', { size: 0 }],
  ['short', { size: 20 }],
  ['long', { size: 60 }],
  ...[0x11, 0x12, 0x14, 0x30, 0x50, 0x90, 0x00, 0x18].map(
    (flags) => [`flags-${flags.toString(16)}`, { spec: { flags } }] as const,
  ),
] as const satisfies readonly (readonly [string, Change])[];

interface Change {
  readonly skip?: number;
  readonly idStep?: number;
  readonly size?: number;
  readonly spec?: Partial<TcpSpec>;
  readonly spoil?: 'last' | 'checksum';
  /** The stream goes on as if this one had not been. */
  readonly stays?: boolean;
}

export interface Step {
  readonly flow: number;
  /** undefined: the next full segment, and nothing special. */
  readonly kind: number | undefined;
}

export const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    flow: fc.nat(ENDS.length - 1),
    kind: fc.option(fc.nat(KINDS.length - 1), { nil: undefined, freq: 2 }),
  }),
  { minLength: 2, maxLength: 24 },
);

export interface Sent {
  readonly flow: number;
  readonly kind: string;
  readonly packet: BuiltPacket;
}

/** The packets of a recipe. */
export function build(recipe: readonly Step[]): Sent[] {
  const streams = ENDS.map(() => ({ sequence: 0xffff_ff00, identification: 0xfffc }));
  let filling = 0;
  return recipe.map(({ flow, kind }) => {
    const stream = streams[flow]!;
    const [name, change]: readonly [string, Change] = kind === undefined ? ['next', {}] : KINDS[kind]!;
    const segment = change.spec?.gsoSize;
    const size = change.size ?? (segment === undefined ? SIZE : segment * 3 + (flow === 1 ? 5 : 0));
    const payload = Buffer.alloc(size, filling++);
    if (name === 'datagram') return { flow, kind: name, packet: udpPacket({ ...ENDS[flow]!, payload }) };
    stream.sequence = (stream.sequence + (change.skip ?? 0)) >>> 0;
    stream.identification = (stream.identification + (change.idStep ?? 0)) & 0xffff;
    const packet = tcpPacket({ ...ENDS[flow]!, acknowledgment: 7, ...change.spec, ...stream, payload });
    const segments = segment === undefined ? 1 : Math.ceil(size / segment);
    if (change.stays !== true) {
      stream.sequence = (stream.sequence + size) >>> 0;
      stream.identification = (stream.identification + segments) & 0xffff;
    }
    if (change.spoil === 'last') packet.bytes[packet.bytes.length - 1]! ^= 0x40;
    if (change.spoil === 'checksum') packet.bytes[(packet.bytes[0]! >> 4 === 4 ? 20 : 40) + 17]! ^= 1;
    return { flow, kind: name, packet };
  });
}
