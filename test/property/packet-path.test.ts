/** The packet path under random conversations: what must hold for any sequence of packets, and for any bytes. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SchedulerName } from '../../src/balance/generation.ts';
import { Prng } from '../../src/base/prng.ts';
import { processBatch } from '../../src/forward/packet-path.ts';
import { STATE_FREE } from '../../src/table/flow-row.ts';
import { SLOT_SIZE } from '../../src/wire/batch.ts';
import { drawTemplate, fuzzServices } from '../fuzz/templates.ts';
import { type BuiltPacket, putPacket } from '../support/packets.ts';
import { Path } from '../support/path.ts';
import {
  answer,
  datagram,
  ENDS,
  type Family,
  reply,
  request,
  servers,
  service,
  tooBig,
} from '../support/path-packets.ts';

const SERVERS: readonly string[] = [...ENDS[4].servers, ...ENDS[6].servers];
const VIPS: readonly string[] = [ENDS[4].vip, ENDS[6].vip];

/** One step of a conversation: a packet, or time. */
type Step =
  | { readonly kind: 'packet'; readonly packet: BuiltPacket }
  | { readonly kind: 'time'; readonly ms: number }
  | { readonly kind: 'down'; readonly server: number };

const family = fc.constantFrom<Family>(4, 6);
const port = fc.integer({ min: 1, max: 4 });
const shape = fc.record({
  payload: fc.uint8Array({ maxLength: 40 }),
  ttl: fc.constantFrom(0, 1, 64, 255),
  partial: fc.boolean(),
});
const flags = fc.constantFrom(2, 2, 2, 16, 16, 24, 17, 4, 18, 20, 0);
const server = fc.nat(2);

const packet: fc.Arbitrary<BuiltPacket> = fc.oneof(
  fc.tuple(family, port, flags, shape, fc.nat(2)).map(([of, sourcePort, bits, rest, turn]) =>
    request(of, {
      ...rest,
      sourcePort,
      flags: bits,
      sequence: turn,
      destinationPort: 80 + (rest.payload.length & 1),
    }),
  ),
  fc.tuple(family, port, shape).map(([of, sourcePort, rest]) => datagram(of, { ...rest, sourcePort })),
  fc
    .tuple(family, server, port, flags, shape)
    .map(([of, at, destinationPort, bits, rest]) => reply(of, at, { ...rest, destinationPort, flags: bits })),
  fc
    .tuple(family, server, port, shape)
    .map(([of, at, destinationPort, rest]) => answer(of, at, { ...rest, destinationPort })),
  fc.tuple(family, server, port).map(([of, at, sourcePort]) => {
    const { client, servers: addresses } = ENDS[of];
    const quoted = request(of, { destination: addresses[at]!, sourcePort, destinationPort: 8080 });
    return tooBig(of, addresses[at]!, client, quoted.bytes, 1300);
  }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 20, arbitrary: packet.map((one): Step => ({ kind: 'packet', packet: one })) },
  { weight: 2, arbitrary: fc.constantFrom(10, 20_000, 40_000).map((ms): Step => ({ kind: 'time', ms })) },
  { weight: 1, arbitrary: fc.integer({ min: -1, max: 2 }).map((at): Step => ({ kind: 'down', server: at })) },
);
const scheduler = fc.constantFrom<SchedulerName>('rr', 'wrr', 'lc', 'wlc', 'sh', 'random');
const unknown = fc.constantFrom('reset', 'drop', 'hash');

/** TCP and UDP, both families; servers of one address share their endpoint. @param down position of the server that is down. */
function services(
  scheduling: SchedulerName,
  policy: 'reset' | 'drop' | 'hash',
  client: boolean,
  down: number,
) {
  const affinity = client ? ({ kind: 'client', prefix: 24 } as const) : ({ kind: 'flow' } as const);
  return ([4, 6] as const).flatMap((of) =>
    ([6, 17] as const).map((protocol) => {
      const index = (of === 4 ? 0 : 2) + (protocol === 6 ? 0 : 1);
      return service(index, of, {
        protocol,
        affinity,
        scheduler: scheduling,
        unknown: policy,
        onServerDown: index % 2 === 0 ? 'keep' : 'reset',
        ports: [[80, 81]],
        servers: servers(of, index * 10).map((one, at) => ({
          ...one,
          endpoint: index * 10 + at + 1,
          up: at !== down,
        })),
      });
    }),
  );
}

/** Server of each row in use, by the key of the flow; a session entry is none. */
function assignments(path: Path): Map<string, number> {
  const { table } = path;
  const found = new Map<string, number>();
  for (let row = 0; row < table.usedRows; row++) {
    if (table.state(row) === STATE_FREE || table.isSession(row)) continue;
    const words = [0, 1, 2, 3].map((word) => table.clientWord(row, word));
    const key = [
      ...words,
      table.clientPort(row),
      table.vipPort(row),
      table.service(row),
      table.openedAt(row),
    ];
    found.set(`${key.join()}/${table.isn(row)}/${row}`, table.server(row));
  }
  return found;
}

describe('conversations', () => {
  it('hold what must hold after every packet', () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 60 }),
        scheduler,
        unknown,
        fc.boolean(),
        (steps, scheduling, policy, client) => {
          const path = new Path(services(scheduling, policy, client, -1), { capacity: 24, batch: 1 });
          for (const one of steps) {
            const before = assignments(path);
            // An entry that takes the place of another in one step (its server is down) was opened at another time.
            path.now++;
            if (one.kind === 'time') {
              path.now += one.ms;
              path.table.expire(path.now, 24);
            } else if (one.kind === 'down') path.apply(services(scheduling, policy, client, one.server));
            else {
              // Path.run decodes every output and adds up the verdicts.
              const { verdicts, sent } = path.run(one.packet);
              for (const { decoded } of sent) {
                if (verdicts[0] !== 'passed') expect(SERVERS).not.toContain(decoded.source);
                if (verdicts[0] === 'nat-reply') expect(VIPS).toContain(decoded.source);
                if (verdicts[0] === 'nat-request') expect(SERVERS).toContain(decoded.destination);
              }
            }
            const after = assignments(path);
            for (const [flow, at] of before) if (after.has(flow)) expect(after.get(flow)).toBe(at);
            checkCounts(path);
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});

/** The columns by server equal a recount, and no two flows share a reply tuple. */
function checkCounts(path: Path): void {
  const { table } = path;
  const active = new Map<number, number>();
  const tuples = new Set<string>();
  for (let row = 0; row < table.usedRows; row++) {
    const state = table.state(row);
    if (state === STATE_FREE || table.isSession(row)) continue;
    if (state === 2 || state === 4) active.set(table.server(row), (active.get(table.server(row)) ?? 0) + 1);
    const tuple = [
      table.clientWord(row, 0),
      table.clientWord(row, 3),
      table.clientPort(row),
      table.endpoint(row),
      table.serverPort(row),
    ].join();
    expect(tuples.has(tuple)).toBe(false);
    tuples.add(tuple);
  }
  for (let server = 0; server < 40; server++) expect(table.active[server]).toBe(active.get(server) ?? 0);
}

describe('any bytes', () => {
  const path = new Path(fuzzServices(false), { capacity: 64, batch: 2 });
  const prng = new Prng(11);
  const templates = Array.from({ length: 500 }, () => drawTemplate(prng));
  const bytes = fc.oneof(
    fc
      .tuple(fc.constantFrom(0x45, 0x46, 0x60, 0x00), fc.uint8Array({ maxLength: 200 }))
      .map(
        ([first, rest]): BuiltPacket => ({ bytes: Buffer.from([first, ...rest]), vnet: Buffer.alloc(12) }),
      ),
    fc
      .tuple(
        fc.constantFrom(...templates),
        fc.array(fc.tuple(fc.nat(80), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
        fc.option(fc.uint8Array({ minLength: 12, maxLength: 12 }), { freq: 5 }),
        fc.option(fc.nat(100), { freq: 5 }),
      )
      .map(([template, edits, vnet, cut]): BuiltPacket => {
        const changed = Buffer.from(template.bytes.subarray(0, cut ?? template.bytes.length));
        for (const [at, value] of edits) if (at < changed.length) changed[at] = value;
        return { bytes: changed, vnet: Buffer.from(vnet ?? template.vnet) };
      }),
  );

  it('throw nothing, and nothing is written outside of the packet and the regions for answers and segments', () => {
    const { batch } = path;
    const slots = batch.bytes.subarray(0, batch.capacity * SLOT_SIZE);
    fc.assert(
      fc.property(fc.array(bytes, { minLength: 1, maxLength: 2 }), (packets) => {
        slots.fill(0xc3);
        batch.reset();
        const before = path.counters.slice();
        for (const one of packets) {
          const slot = batch.rxCount++;
          putPacket(batch.bytes, batch.rxOffset[slot]!, one);
          batch.rxLength[slot] = one.bytes.length;
        }
        processBatch(path.state, path.table, path.now++);
        path.checkVerdicts(path.countsSince(before), packets.length);
        for (const [slot, one] of packets.entries()) {
          const offset = batch.rxOffset[slot]!;
          slots.fill(0xc3, offset - 12, offset + one.bytes.length);
        }
        expect(Buffer.compare(slots, Buffer.alloc(slots.length, 0xc3))).toBe(0);
        for (let at = 0; at < batch.txCount; at++)
          expect(batch.txOffset[at]! + batch.txLength[at]!).toBeLessThanOrEqual(batch.segmentEnd);
      }),
      { numRuns: 1500 },
    );
  });
});
