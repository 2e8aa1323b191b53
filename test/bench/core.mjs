#!/usr/bin/env node
/**
 * The core alone: ns a packet for parse, hash, look-up and rewrite of packets that hit a flow, from memory to memory.
 *
 *   node test/bench/core.mjs [--json] [--runs N] [--packets N] [--flows 1000,100000,1000000]
 *
 * Runs over dist/ (`npm run build` first). 64-byte IPv4 packets of flows drawn at random, in batches of 64 as the daemon reads
 * them; the clock runs during processBatch only, while the filling of the slots, which the kernel's copy does otherwise, does not count.
 * The figure of a run is the median over its batches, which a neighbour on the same processor does not move; the mean, which it
 * does, stands beside it. `chain` is what one step of a chain of dependent multiplications costs (four processor cycles): where it is
 * above 1.5 ns the processor is shared or throttled, and all figures with it. Each variant is a process of its own, since the order within one process shifts results. Transport checksums of these packets
 * are whatever they are: the path moves them by deltas and never sums.
 */
import { execFileSync } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** The built program, resolved when it runs: what checks types here need not have built anything. @param {string} path */
const built = (path) => import(new URL(`../../dist/${path}`, import.meta.url).href);
const { Balancer } = await built('balance/balancer.js');
const { ServiceTable } = await built('balance/service-table.js');
const { COUNTER, counterRow, createCounters } = await built('base/counters.js');
const { raiseInlining } = await built('daemon/threads/inlining.js');
const { processBatch } = await built('forward/packet-path.js');
const { PathState } = await built('forward/path-state.js');
const { followReleases } = await built('forward/release.js');
const { DispatchTable } = await built('table/dispatch-table.js');
const { Batch } = await built('wire/batch.js');

const CAPACITY = 1_048_576;
const BATCH = 64;
const SIZE = 64;
const VIP = 0xc000020a;
const SERVERS = [0x0a000201, 0x0a000202, 0x0a000203, 0x0a000204];
const PORT = 80;
const SERVER_PORT = 8080;
const NOW = 1000;
const VARIANTS = /** @type {const} */ (['tcp-request', 'tcp-reply', 'udp-request', 'udp-reply']);

/** @typedef {{ variant: string, flows: number, nsPerPacket: number, min: number, max: number, mean: number, chain: number, fill: number, runs: number[], bytesPerEntry: number }} Result */

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    runs: { type: 'string', default: '5' },
    packets: { type: 'string', default: '2000000' },
    flows: { type: 'string', default: '1000,100000,1000000' },
    child: { type: 'string' },
  },
});
const RUNS = Number(options.runs);
const PACKETS = Number(options.packets);

if (options.child !== undefined) {
  const [variant = '', flows = ''] = options.child.split(':');
  process.stdout.write(`${JSON.stringify(measure(variant, Number(flows)))}\n`);
} else {
  report();
}

function report() {
  /** @type {Result[]} */
  const results = [];
  if (!options.json)
    console.log('variant        flows      ns/packet   min    max   mean  chain   bytes/entry');
  for (const flows of options.flows.split(',')) {
    for (const variant of VARIANTS) {
      const args = ['--child', `${variant}:${flows}`, '--runs', options.runs, '--packets', options.packets];
      const output = execFileSync(process.execPath, [fileURLToPath(import.meta.url), ...args], {
        encoding: 'utf8',
      });
      /** @type {Result} */
      const result = JSON.parse(output);
      results.push(result);
      if (options.json) continue;
      const figures = [result.nsPerPacket, result.min, result.max, result.mean, result.chain].map((ns) =>
        ns.toFixed(1).padStart(7),
      );
      console.log(
        `${variant.padEnd(12)} ${flows.padStart(8)}      ${figures.join('')}   ${result.bytesPerEntry.toFixed(1)}`,
      );
    }
  }
  if (options.json)
    console.log(JSON.stringify({ batch: BATCH, capacity: CAPACITY, packets: PACKETS, results }));
}

/** @param {string} variant @param {number} flows @returns {Result} */
function measure(variant, flows) {
  // As the daemon's threads do.
  raiseInlining();
  const protocol = variant.startsWith('tcp') ? 6 : 17;
  const path = makePath(protocol);
  openFlows(path, protocol, flows);
  const { batch } = path;
  // Not out of the table, whose rows would then be in the cache before they are looked up.
  const servers = Uint8Array.from({ length: flows }, (_, flow) => path.table.server(flow));
  const fill = variant.endsWith('reply')
    ? /** @type {Fill} */ ((slot, flow) => writeReply(batch, slot, flow, protocol, servers[flow] ?? 0))
    : /** @type {Fill} */ ((slot, flow) => writeRequest(batch, slot, flow, protocol, 16));
  timedRun(path, fill, flows, 300_000);
  const chain = chainNs();
  const timed = Array.from({ length: RUNS }, () => timedRun(path, fill, flows, PACKETS));
  const runs = timed.map(({ median }) => median);
  const verdict = variant.endsWith('reply') ? COUNTER['nat-reply'] : COUNTER['nat-request'];
  const opening = protocol === 6 ? 2 * flows : flows;
  const hits = path.counters[verdict] ?? 0;
  const expected = Math.ceil(300_000 / BATCH) * BATCH + RUNS * Math.ceil(PACKETS / BATCH) * BATCH;
  const before = variant.endsWith('reply') ? flows : opening;
  if (hits !== expected + before || path.table.size !== flows) throw new Error(`not all were hits: ${hits}`);
  const sorted = [...runs].sort((a, b) => a - b);
  return {
    variant,
    flows,
    nsPerPacket: /** @type {number} */ (sorted[sorted.length >> 1]),
    min: /** @type {number} */ (sorted[0]),
    max: /** @type {number} */ (sorted[sorted.length - 1]),
    mean: timed.reduce((sum, { mean }) => sum + mean, 0) / RUNS,
    chain,
    fill: Math.min(...timed.map(({ fill }) => fill)),
    runs,
    bytesPerEntry: path.table.buffers.memory.byteLength / CAPACITY,
  };
}

/** @typedef {{ batch: import('../../src/wire/batch.ts').Batch, table: import('../../src/table/dispatch-table.ts').DispatchTable, state: import('../../src/forward/path-state.ts').PathState, counters: Float64Array }} Path */
/** @typedef {(slot: number, flow: number) => void} Fill */

/** @param {number} protocol @returns {Path} */
function makePath(protocol) {
  const batch = new Batch(BATCH);
  const table = DispatchTable.create(CAPACITY, { seed: [1, 2, 3, 4] });
  const counters = counterRow(createCounters(1), 0);
  const generation = {
    number: 1,
    services: [
      {
        index: 0,
        id: 'bench',
        name: 'bench',
        vip: address(VIP),
        protocol: /** @type {6 | 17} */ (protocol),
        ports: [/** @type {const} */ ([PORT, PORT])],
        mode: /** @type {const} */ ('nat'),
        scheduler: /** @type {const} */ ('rr'),
        affinity: { kind: /** @type {const} */ ('flow') },
        unknown: /** @type {const} */ ('drop'),
        onServerDown: /** @type {const} */ ('keep'),
        timeoutsMs: { tcpEstablished: 9e5, tcpOpening: 9e5, tcpClosing: 9e5, udp: 9e5, client: 9e5 },
        maglev: undefined,
        servers: SERVERS.map((word, index) => ({
          index,
          id: `s${index}`,
          name: `s${index}`,
          address: address(word),
          port: SERVER_PORT,
          endpoint: index + 1,
          weight: 1,
          up: true,
          leaving: false,
          mtuBytes: 1500,
          subnet: undefined,
        })),
      },
    ],
  };
  const balancer = new Balancer(table, [5, 6], 7);
  balancer.apply(generation);
  const state = new PathState({ batch, table, services: new ServiceTable(generation), balancer, counters });
  followReleases(state, table);
  return { batch, table, state, counters };
}

/** @param {number} word */
function address(word) {
  return { family: /** @type {const} */ (4), words: /** @type {const} */ ([0, 0, 0xffff, word]) };
}

/** Rows of a new table are given out in order, so that flow n has row n. @param {Path} path @param {number} protocol @param {number} flows */
function openFlows(path, protocol, flows) {
  const passes = protocol === 6 ? ['syn', 'reply', 'ack'] : ['syn', 'reply'];
  for (const pass of passes) {
    for (let first = 0; first < flows; first += BATCH) {
      path.batch.reset();
      for (let flow = first; flow < Math.min(first + BATCH, flows); flow++) {
        const slot = path.batch.rxCount++;
        if (pass === 'reply') writeReply(path.batch, slot, flow, protocol, path.table.server(flow));
        else writeRequest(path.batch, slot, flow, protocol, pass === 'syn' ? 2 : 16);
      }
      processBatch(path.state, path.table, NOW);
    }
  }
}

/** @param {Path} path @param {Fill} fill @param {number} flows @param {number} packets @returns {{ median: number, mean: number, fill: number }} ns a packet */
function timedRun(path, fill, flows, packets) {
  const { batch, state, table } = path;
  let draw = 0x9e3779b9;
  const batches = Math.ceil(packets / BATCH);
  const spent = new Float64Array(batches);
  const filled = new Float64Array(batches);
  for (let left = batches; left > 0; left--) {
    batch.reset();
    const begin = performance.now();
    for (let slot = 0; slot < BATCH; slot++) {
      draw ^= draw << 13;
      draw ^= draw >>> 17;
      draw ^= draw << 5;
      fill(slot, (draw >>> 0) % flows);
    }
    batch.rxCount = BATCH;
    const start = performance.now();
    processBatch(state, table, NOW);
    spent[left - 1] = performance.now() - start;
    filled[left - 1] = start - begin;
  }
  spent.sort();
  const perPacket = 1e6 / BATCH;
  const mean = spent.reduce((sum, ms) => sum + ms, 0) / batches;
  const filling = /** @type {number} */ (filled.sort()[batches >> 1]) * perPacket;
  return {
    median: /** @type {number} */ (spent[batches >> 1]) * perPacket,
    mean: mean * perPacket,
    fill: filling,
  };
}

/** Median of many short runs of a chain of `x = x * a + c`, ns a step. */
function chainNs() {
  const times = new Float64Array(200);
  let x = 1;
  for (let run = 0; run < times.length; run++) {
    const start = performance.now();
    for (let step = 0; step < 20_000; step++) x = (Math.imul(x, 1664525) + 1013904223) | 0;
    times[run] = performance.now() - start;
  }
  if (x === 0) throw new Error('the chain broke');
  return /** @type {number} */ (times.sort()[times.length >> 1]) * 50;
}

/** 4 M client addresses by 8 ports, scattered. @param {number} flow */
function clientWord(flow) {
  return (0x0b000000 + (Math.imul(flow, 0x9e3779b1) & 0x3fffff)) >>> 0;
}

/** @param {number} flow */
function clientPort(flow) {
  return 1024 + ((flow >>> 3) & 0x7fff);
}

/** @param {import('../../src/wire/batch.ts').Batch} batch @param {number} slot @param {number} flow @param {number} protocol @param {number} flags */
function writeRequest(batch, slot, flow, protocol, flags) {
  write(batch, slot, protocol, clientWord(flow), VIP, clientPort(flow), PORT, flags);
}

/** @param {import('../../src/wire/batch.ts').Batch} batch @param {number} slot @param {number} flow @param {number} protocol @param {number} server */
function writeReply(batch, slot, flow, protocol, server) {
  const source = SERVERS[server] ?? 0;
  write(batch, slot, protocol, source, clientWord(flow), SERVER_PORT, clientPort(flow), 16);
}

/**
 * @param {import('../../src/wire/batch.ts').Batch} batch @param {number} slot @param {number} protocol @param {number} source @param {number} destination
 * @param {number} sourcePort @param {number} destinationPort @param {number} flags
 */
function write(batch, slot, protocol, source, destination, sourcePort, destinationPort, flags) {
  const { view } = batch;
  const at = /** @type {number} */ (batch.rxOffset[slot]);
  view.setUint32(at - 12, 0);
  view.setUint32(at, 0x45000000 | SIZE);
  view.setUint32(at + 4, 0x4000);
  view.setUint32(at + 8, (64 << 24) | (protocol << 16));
  view.setUint32(at + 12, source);
  view.setUint32(at + 16, destination);
  let sum = 0x4500 + SIZE + 0x4000 + ((64 << 8) | protocol);
  sum += (source >>> 16) + (source & 0xffff) + (destination >>> 16) + (destination & 0xffff);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(at + 10, ~sum & 0xffff);
  view.setUint16(at + 20, sourcePort);
  view.setUint16(at + 22, destinationPort);
  view.setUint32(at + 24, protocol === 6 ? (flags === 2 ? 99 : 100) : ((SIZE - 20) << 16) | 0x1234);
  if (protocol === 6) {
    view.setUint32(at + 28, 1);
    view.setUint32(at + 32, 0x50000000 | (flags << 16) | 0xffff);
    view.setUint32(at + 36, 0x12340000);
  }
  batch.rxLength[slot] = SIZE;
}
