/**
 * `npm run bench`: Latchway, nftables DNAT, HAProxy and nginx against plain kernel forwarding through the same namespaces,
 * and the packet path alone.
 *
 * Each run measures all variants one after the other, beginning with another one each time, so that a machine that gets
 * faster or slower does so for all of them. Figures are ratios to the kernel's of the same run. Needs root, iperf3 and a
 * C compiler; puts traffic into its own namespaces only, and takes them away.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, release as kernelRelease, totalmem } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isBuilt } from '../dispatcher.mjs';
import { PROJECT } from '../laboratory.mjs';
import { compile, makeBed } from './bed.mjs';
import { firstPacketTable, measureFirstPackets } from './first-packet.mjs';
import { MEASURES, measure } from './measures.mjs';
import { profileTable } from './profile.mjs';
import { markdown, summary } from './table.mjs';
import { missingTools, VARIANTS } from './variants.mjs';

const HELP = `npm run bench -- [options]
  --runs N     each variant N times (default 5)
  --quick      one run, durations by half
  --only A,B   variants: ${VARIANTS.map((variant) => variant.name).join(', ')}; kernel always runs
  --no-core    leave the packet path alone out
  --first-packet       only what the first packet of a connection costs in a cluster of four
  --no-first-packet    all but that
  --json       all figures as JSON instead of tables; progress goes to standard error

On a machine that does other things as well, \`chrt -r 1 npm run bench\` keeps them from shifting the ratios; CPU times are
then still those of the whole machine, and mean nothing.
`;
const CORE_RUNS = 3;
const FIRST_PACKET_RUNS = 3;
const CORE = join(PROJECT, 'test', 'bench', 'core.mjs');

/** @typedef {import('./variants.mjs').Variant} Variant */

/** @param {string} text */
const say = (text) => process.stderr.write(`${text}\n`);

/** Variants that can run here; says what is missing of the others. @param {string[] | undefined} only */
function chooseVariants(only) {
  const unknown = only?.find((name) => !VARIANTS.some((variant) => variant.name === name));
  if (unknown !== undefined) throw new Error(`no variant ${unknown}\n${HELP}`);
  const wanted = VARIANTS.filter(
    ({ name }) => only === undefined || name === 'kernel' || only.includes(name),
  );
  return wanted.filter((variant) => {
    const missing = variant.missing();
    if (missing !== undefined) say(`left out: ${variant.title}: ${missing}`);
    return missing === undefined;
  });
}

/** @param {readonly Variant[]} variants @param {{ udp: string, tcp: string }} programs @param {number} runs @param {number} scale */
async function measureAll(variants, programs, runs, scale) {
  /** @type {import('./table.mjs').Results} */
  const results = Object.fromEntries(variants.map((variant) => [variant.name, []]));
  for (let run = 0; run < runs; run++) {
    for (let turn = 0; turn < variants.length; turn++) {
      const variant = /** @type {Variant} */ (variants[(turn + run) % variants.length]);
      const started = performance.now();
      const bed = await makeBed(variant, programs, scale);
      try {
        const figures = await measure(bed, variant.udp);
        results[variant.name]?.push(figures);
        const shown = ['tcp1', 'tcp8', 'udpFlood', 'connections', 'echoP50'].map((key) =>
          figures[key] === undefined ? '' : ` ${key} ${figures[key].toFixed(1)}`,
        );
        const seconds = Math.round((performance.now() - started) / 1000);
        say(`run ${run + 1} of ${runs}: ${variant.title}, ${seconds} s:${shown.join('')}`);
      } catch (error) {
        // The other runs stand; an empty one keeps the runs of all variants side by side.
        results[variant.name]?.push({});
        say(
          `run ${run + 1} of ${runs}: ${variant.title} failed: ${error instanceof Error ? error.message : error}`,
        );
      } finally {
        bed.lab.close();
      }
    }
  }
  return results;
}

/**
 * The packet path alone, by its own program, which needs half a minute for a run.
 * @param {number} runs
 * @returns {any} its JSON; undefined when it is not to be had
 */
function measureCore(runs) {
  if (!existsSync(CORE)) {
    say(`left out: the packet path alone: no ${CORE}`);
    return undefined;
  }
  say('the packet path alone');
  const done = spawnSync(process.execPath, [CORE, '--json', '--runs', String(Math.min(runs, CORE_RUNS))], {
    encoding: 'utf8',
    maxBuffer: 1 << 24,
  });
  if (done.status === 0) return JSON.parse(done.stdout);
  say(`left out: the packet path alone: exit ${done.status}\n${done.stderr}`);
  return undefined;
}

function machine() {
  const model = cpus()[0]?.model.trim() ?? 'unknown CPU';
  const load = readFileSync('/proc/loadavg', 'utf8').split(' ')[0];
  const gibibytes = Math.round(totalmem() / 2 ** 30);
  return {
    date: new Date().toISOString().slice(0, 16).replace('T', ' '),
    text: `${cpus().length} CPUs (${model}), ${gibibytes} GiB, Linux ${kernelRelease()}, Node ${process.versions.node}`,
    load: Number(load),
  };
}

/**
 * @param {{ results: { variant: string, flows: number, nsPerPacket: number, min: number, max: number, bytesPerEntry: number }[] }} core
 */
function coreTable({ results }) {
  const sizes = [...new Set(results.map(({ flows }) => flows))];
  const kinds = [...new Set(results.map(({ variant }) => variant))];
  const rows = kinds.map((kind) => {
    const cells = sizes.map((size) => {
      const found = results.find(({ variant, flows }) => variant === kind && flows === size);
      if (found === undefined) return '-';
      const spread = (found.max - found.min) / 2 / found.nsPerPacket;
      return `${found.nsPerPacket.toFixed(0)} ±${Math.round(spread * 100)} %`;
    });
    return `| ${kind} | ${cells.join(' | ')} |`;
  });
  const memory = Math.max(...results.map(({ bytesPerEntry }) => bytesPerEntry));
  return [
    `| packet path alone, ns a packet | ${sizes.map((size) => `${size.toLocaleString('en')} flows`).join(' | ')} |`,
    `| --- |${' ---: |'.repeat(sizes.length)}`,
    ...rows,
    '',
    `Memory of the table: ${memory.toFixed(1)} bytes an entry, indexes included.`,
  ];
}

async function main() {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '5' },
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      'no-core': { type: 'boolean', default: false },
      'first-packet': { type: 'boolean', default: false },
      'no-first-packet': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  const runs = values.quick ? 1 : Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new Error(HELP);
  for (const missing of missingTools()) throw new Error(missing);
  const variants = chooseVariants(values.only?.split(','));
  const before = machine();
  say(`${before.text}; load ${before.load} before the first run`);
  const scale = values.quick ? 0.5 : 1;
  const programs = compile();
  const only = values['first-packet'];
  const core = only || values['no-core'] ? undefined : measureCore(runs);
  const results = only ? {} : await measureAll(variants, programs, runs, scale);
  const first =
    values['no-first-packet'] || !isBuilt()
      ? []
      : await measureFirstPackets({ runs: Math.min(runs, FIRST_PACKET_RUNS), scale, programs, say });
  if (values.json) {
    const summaries = Object.fromEntries(
      Object.entries(results).map(([name, all]) => [
        name,
        Object.fromEntries(
          MEASURES.flatMap(({ key }) => {
            const taken = all.flatMap((figures) => figures[key] ?? []);
            return taken.length === 0 ? [] : [[key, summary(taken)]];
          }),
        ),
      ]),
    );
    process.stdout.write(
      `${JSON.stringify({ machine: before, runs, summaries, results, core, first }, null, 2)}\n`,
    );
    return;
  }
  const text = [
    `${before.date} UTC; ${before.text}; ${runs} runs; load before ${before.load}. Median of the runs, ± half their range.`,
    ...(only
      ? []
      : [
          'Kernel forwarding in units, all others as ratio to it.',
          '',
          markdown(results, variants, MEASURES),
          '',
          profileTable(results, variants),
        ]),
    ...(core === undefined ? [] : ['', ...coreTable(core)]),
    ...(first.length === 0 ? [] : ['', firstPacketTable(first)]),
  ];
  process.stdout.write(`\n${text.join('\n')}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
