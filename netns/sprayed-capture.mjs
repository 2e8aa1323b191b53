/** tcpdump at several dispatchers at once, read as one story. */
import { startCapture } from './capture.mjs';

export class SprayedCapture {
  /** @type {import('./capture.mjs').Capture[]} */
  #captures = [];

  /**
   * @param {import('./laboratory.mjs').Lab} lab @param {readonly string[]} dispatchers
   * @param {string} filter pcap-filter(7), of the packets that the router hands over
   */
  constructor(lab, dispatchers, filter) {
    this.lab = lab;
    this.dispatchers = dispatchers;
    this.filter = filter;
  }

  async start() {
    this.#captures = await Promise.all(
      this.dispatchers.map((name) => startCapture(this.lab, name, 'to-router', this.filter, ['-S'])),
    );
  }

  /** Packets so far whose line looks like this. @param {RegExp} pattern */
  count(pattern) {
    return this.#captures.flatMap(({ lines }) => lines).filter((line) => pattern.test(line)).length;
  }

  /** @returns {Promise<string[]>} a line for each packet, in the order of time, with the dispatcher in front */
  async stop() {
    const all = await Promise.all(this.#captures.map((capture) => capture.stop()));
    const packets = all.flatMap((lines, index) =>
      lines.map((line) => {
        const [time = '', ...words] = line.split(' ');
        return { at: Number(time), text: `${this.dispatchers[index]}  ${words.join(' ')}` };
      }),
    );
    packets.sort((a, b) => a.at - b.at);
    const first = packets[0]?.at ?? 0;
    return packets.map(
      ({ at, text }) => `${((at - first) * 1000).toFixed(1).padStart(6)} ms  ${shortened(text)}`,
    );
  }
}

/** Without what does not matter here. @param {string} text of tcpdump */
function shortened(text) {
  return text
    .replace(/, options \[.*?\]/, '')
    .replace(/, win \d+/, '')
    .replace(/: HTTP.*/, '')
    .replace(/, length 0$/, '');
}
