/**
 * A bed: a lab of its own for one variant and one run, with the servers and load generators in it. Nothing of one
 * variant (sockets in TIME_WAIT, connection tracking, caches of routes) can reach another.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../host.mjs';
import { createLab } from '../laboratory.mjs';
import { PORTS } from './variants.mjs';

const SOURCES = dirname(fileURLToPath(import.meta.url));

/**
 * Compiles the load generators into a folder that goes with this process.
 * @returns {{ udp: string, tcp: string }} paths
 */
export function compile() {
  const directory = mkdtempSync(join(tmpdir(), 'latchway-bench-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  /** @param {string} name */
  const build = (name) => {
    const program = join(directory, name);
    run(['cc', '-O2', '-Wall', '-Wextra', '-Werror', '-o', program, join(SOURCES, `${name}.c`)]);
    return program;
  };
  return { udp: build('udp-load'), tcp: build('tcp-load') };
}

/**
 * @param {import('./variants.mjs').Variant} variant
 * @param {{ udp: string, tcp: string }} programs
 * @param {number} scale factor of all durations
 * @returns {Promise<import('./measures.mjs').Bed>}
 */
export async function makeBed(variant, programs, scale) {
  const lab = createLab({ topology: 'line' });
  const ready = /^(ready|Server listening)/;
  await lab.spawn('s1', [programs.tcp, 'serve', String(PORTS.echo)], { ready });
  const sink = await lab.spawn('s1', [programs.udp, 'sink', String(PORTS.sink)], { ready });
  await lab.spawn('s1', ['iperf3', '-s', '-p', String(PORTS.bulk), '--forceflush'], { ready });
  const address = await variant.start(lab);
  return { lab, address, sink, programs, scale };
}
