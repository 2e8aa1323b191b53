/**
 * tcpdump as a witness: started, known to listen, stopped when all it saw is written, and read as lines.
 */
import { readFileSync } from 'node:fs';

/** @typedef {import('./laboratory.mjs').Lab} Lab */

/** Enough for what a busy machine has not taken off in a second, KiB. */
export const BUFFER_KIB = 16_384;
/**
 * Bytes of a packet. In immediate mode each packet takes a slot of this size in the buffer: with tcpdump's own 256 KiB it
 * has room for eight, where offloads are on.
 */
export const SNAPSHOT_BYTES = 4096;
const COUNTS = /(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped by kernel/;

export class Capture {
  /** @param {import('./processes.mjs').LabProcess} tcpdump */
  constructor(tcpdump) {
    this.tcpdump = tcpdump;
  }

  /** What was seen so far, one packet a line. */
  get lines() {
    return this.tcpdump.lines.filter((line) => line !== ''); // an interrupted tcpdump ends with an empty one
  }

  /**
   * Ends the capture when all that it was given until now is printed: on SIGINT tcpdump leaves the rest unread.
   * @returns {Promise<string[]>} all lines
   * @throws when the kernel dropped packets: absence would prove nothing
   */
  async stop() {
    const { received } = await this.#counts();
    while ((await this.#counts()).captured < received && !this.#waits());
    await this.tcpdump.stop('SIGINT');
    return this.lines;
  }

  /** Whether it has read all that there is. What came before it had set its filter counts as received for ever. */
  #waits() {
    return readFileSync(`/proc/${this.tcpdump.pid}/wchan`, 'latin1').includes('poll');
  }

  /** What tcpdump says of itself. */
  async #counts() {
    const { child, errorLines, exit } = this.tcpdump;
    if (exit) return { captured: Number.POSITIVE_INFINITY, received: 0 };
    const after = errorLines.length;
    child.kill('SIGUSR1');
    const line = await this.tcpdump.line(COUNTS, { after, error: true });
    const [captured = 0, received = 0, dropped = 0] = (COUNTS.exec(line) ?? []).slice(1).map(Number);
    if (dropped > 0) throw new Error(`the kernel dropped packets: ${this.tcpdump.describe()}`);
    return { captured, received };
  }
}

/**
 * Starts a capture and waits until it listens.
 * @param {Lab} lab
 * @param {string} host
 * @param {string} device
 * @param {string} filter pcap-filter(7)
 * @param {readonly string[]} [flags] more flags of tcpdump, such as `-v`
 * @returns {Promise<Capture>}
 */
export async function startCapture(lab, host, device, filter, flags = []) {
  const sizes = ['-B', `${BUFFER_KIB}`, '-s', `${SNAPSHOT_BYTES}`];
  const command = [
    'tcpdump',
    '-n',
    '-l',
    '-tt',
    '--immediate-mode',
    ...sizes,
    '-i',
    device,
    ...flags,
    filter,
  ];
  return new Capture(await lab.spawn(host, command, { readyError: /^(tcpdump: )?listening on/ }));
}
