/**
 * tcpdump as a witness: started, known to listen, stopped when all it saw is written, and read as lines.
 */

/** @typedef {import('./laboratory.mjs').Lab} Lab */

export class Capture {
  /** @param {import('./processes.mjs').LabProcess} tcpdump */
  constructor(tcpdump) {
    this.tcpdump = tcpdump;
  }

  /** What was seen so far, one packet a line. */
  get lines() {
    return this.tcpdump.lines.filter((line) => line !== ''); // an interrupted tcpdump ends with an empty one
  }

  /** Ends the capture. @returns {Promise<string[]>} all lines */
  async stop() {
    await this.tcpdump.stop('SIGINT');
    return this.lines;
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
  const command = ['tcpdump', '-n', '-l', '-tt', '--immediate-mode', '-i', device, ...flags, filter];
  return new Capture(await lab.spawn(host, command, { readyError: /^(tcpdump: )?listening on/ }));
}
