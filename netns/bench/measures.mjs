/**
 * What is measured of one variant, each thing in a bounded time. Every figure is a plain number in the unit that its
 * measure names; how they compare is table.mjs's business.
 *
 * CPU is that of the whole machine, busy less idle (/proc/stat): a forwarder in the kernel spends its time in whichever
 * process happened to send. It is only true on a machine that does nothing else.
 */
import { readFileSync } from 'node:fs';
import { profiled } from './profile.mjs';
import { PORTS } from './variants.mjs';

/**
 * @typedef {import('../laboratory.mjs').Lab} Lab
 * @typedef {import('../processes.mjs').LabProcess} LabProcess
 *
 * @typedef {object} Bed
 * @property {Lab} lab
 * @property {string} address where the client sends to
 * @property {LabProcess} sink counts datagrams
 * @property {{ udp: string, tcp: string }} programs
 * @property {number} scale factor of all durations
 *
 * @typedef {Record<string, number>} Figures by key of MEASURES
 *
 * @typedef {object} Measure
 * @property {string} key
 * @property {string} title
 * @property {string} unit
 * @property {boolean} higher whether more is better
 */

/** In the order of the table. @type {readonly Measure[]} */
export const MEASURES = [
  { key: 'tcp1', title: 'TCP, 1 stream', unit: 'Gbit/s', higher: true },
  { key: 'tcp8', title: 'TCP, 8 streams', unit: 'Gbit/s', higher: true },
  { key: 'tcp1off', title: 'TCP, 1 stream, offloads off', unit: 'Gbit/s', higher: true },
  { key: 'tcp8off', title: 'TCP, 8 streams, offloads off', unit: 'Gbit/s', higher: true },
  { key: 'udpFlood', title: 'UDP 64 B, flood', unit: 'kpps', higher: true },
  { key: 'udpClean', title: 'UDP 64 B, loss < 1 %', unit: 'kpps', higher: true },
  { key: 'connections', title: 'new connections', unit: '1000/s', higher: true },
  { key: 'echoP50', title: 'echo round trip p50', unit: 'µs', higher: false },
  { key: 'echoP99', title: 'echo round trip p99', unit: 'µs', higher: false },
  { key: 'connectP50', title: 'connection time p50', unit: 'µs', higher: false },
  { key: 'connectP99', title: 'connection time p99', unit: 'µs', higher: false },
  { key: 'cpuGigabyte', title: 'CPU a gigabyte (TCP, 1 stream)', unit: 's', higher: false },
  { key: 'cpuMillion', title: 'CPU a million packets (UDP, 30 kpps)', unit: 's', higher: false },
];

const BULK_SECONDS = 2;
const SMALL_SECONDS = 1.5;
const SEARCH_STEP_SECONDS = 0.5;
const SEARCH_STEPS = 7;
const LOSS_LIMIT = 0.01;
const STEADY_RATE = 30_000;
const FLOWS = 16;
const WIDTH = 64;
const SETTLE_MS = 150;
const TICKS_A_SECOND = 100; // USER_HZ, part of the kernel's interface

/** Seconds that all CPUs together were busy since boot. */
function busySeconds() {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] =
    /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]?.split(' ').map(Number) ?? [];
  return (user + nice + system + irq + softirq + steal) / TICKS_A_SECOND;
}

/** @param {Bed} bed @param {readonly string[]} command @returns {Promise<any>} the JSON that it printed */
async function ask({ lab }, command) {
  const { code, stdout, stderr } = await lab.exec('client', command, { deadlineMs: 60_000 });
  if (code !== 0) throw new Error(`${command.join(' ')}: exit ${code}\n${stdout}\n${stderr}`);
  return JSON.parse(stdout);
}

/** @param {number} ms */
const settle = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** @param {Bed} bed @param {number} streams @param {number} seconds */
async function bulk(bed, streams, seconds) {
  const time = String(Math.max(1, Math.round(seconds * bed.scale)));
  const options = ['-p', String(PORTS.bulk), '-t', time, '-P', String(streams), '-J'];
  const before = busySeconds();
  const { end, error } = await ask(bed, ['iperf3', '-c', bed.address, ...options]);
  if (end?.sum_received === undefined) throw new Error(`iperf3: ${error ?? 'no result'}`);
  const busy = busySeconds() - before;
  const { bits_per_second: rate, bytes } = end.sum_received;
  return { gigabits: rate / 1e9, cpuGigabyte: (busy / bytes) * 1e9 };
}

/** @param {Bed} bed @param {number} rate datagrams a second, 0: flood @param {number} seconds */
async function datagrams(bed, rate, seconds) {
  const words = [bed.address, PORTS.sink, seconds * bed.scale * 1000, rate, FLOWS].map(String);
  const before = await bed.sink.ask('count');
  const busyBefore = busySeconds();
  const { sent, ms } = await ask(bed, [bed.programs.udp, 'send', ...words]);
  await settle(SETTLE_MS);
  const busy = busySeconds() - busyBefore;
  const received = (await bed.sink.ask('count')).received - before.received;
  return {
    sent,
    received,
    kpps: received / ms,
    offered: (sent / ms) * 1000,
    cpuMillion: (busy / received) * 1e6,
  };
}

/** The highest rate of which less than 1 % is lost, in thousands a second. @param {Bed} bed @param {number} ceiling */
async function cleanRate(bed, ceiling) {
  let low = 0;
  let high = ceiling;
  let best = 0;
  for (let step = 0; step < SEARCH_STEPS; step++) {
    const rate = (low + high) / 2;
    const { sent, received, offered } = await datagrams(bed, rate, SEARCH_STEP_SECONDS);
    if (received >= sent * (1 - LOSS_LIMIT)) {
      low = rate;
      best = Math.max(best, offered / 1000);
    } else high = rate;
  }
  return best;
}

/** @param {Bed} bed @param {'connect' | 'echo'} kind @param {number} [width] */
function exchange(bed, kind, width) {
  const words = [bed.address, PORTS.echo, SMALL_SECONDS * bed.scale * 1000, width]
    .filter(Boolean)
    .map(String);
  return ask(bed, [bed.programs.tcp, kind, ...words]);
}

/**
 * Everything once. A first second of traffic is thrown away: caches, neighbours and compilers get warm.
 * @param {Bed} bed
 * @param {boolean} udp
 * @returns {Promise<Figures>}
 */
export async function measure(bed, udp) {
  await bulk(bed, 1, 1);
  await exchange(bed, 'connect', WIDTH);
  /** @type {Figures} */
  const figures = {};
  const one = await bulk(bed, 1, BULK_SECONDS);
  const eight = await profiled(figures, 'tcp8', () => bulk(bed, 8, BULK_SECONDS));
  const connections = await profiled(figures, 'connections', () => exchange(bed, 'connect', WIDTH));
  const single = await exchange(bed, 'connect', 1);
  const echo = await profiled(figures, 'echoP50', () => exchange(bed, 'echo'));
  Object.assign(figures, {
    tcp1: one.gigabits,
    cpuGigabyte: one.cpuGigabyte,
    tcp8: eight.gigabits,
    connections: connections.count / connections.ms,
    connectP50: single.p50us,
    connectP99: single.p99us,
    echoP50: echo.p50us,
    echoP99: echo.p99us,
  });
  if (udp) {
    await datagrams(bed, 0, 0.5);
    const flood = await datagrams(bed, 0, SMALL_SECONDS);
    figures['udpFlood'] = flood.kpps;
    figures['udpClean'] = await cleanRate(bed, flood.kpps * 1500);
    figures['cpuMillion'] = (await datagrams(bed, STEADY_RATE, SMALL_SECONDS)).cpuMillion;
  }
  bed.lab.setOffloads('off');
  figures['tcp1off'] = (await bulk(bed, 1, BULK_SECONDS)).gigabits;
  const off = await profiled(figures, 'tcp8off', () => bulk(bed, 8, BULK_SECONDS));
  figures['tcp8off'] = off.gigabits;
  return figures;
}
