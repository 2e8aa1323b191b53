/**
 * tcpdump into files at several places of a lab at once, read as one story: `latchway decode` puts their packets in the order of time and opens the
 * datagrams between dispatchers.
 */
import { BUFFER_KIB, SNAPSHOT_BYTES } from './capture.mjs';
import { run } from './host.mjs';

/**
 * @typedef {object} Place
 * @property {string} host
 * @property {string} device
 * @property {string} [filter] pcap-filter(7)
 * @property {'in' | 'out'} [only] that direction; default both
 *
 * @typedef {object} Seen a packet
 * @property {number} at seconds since 1970
 * @property {string} where host and device, such as `d1 lw0`
 * @property {string} packet as a line, without what a datagram between dispatchers says
 * @property {string} [sender] of such a datagram
 * @property {string} [receiver]
 * @property {'hello' | 'broadcast' | 'unicast'} [stream]
 * @property {number} [sequence]
 * @property {readonly Said[]} records what it says; none where it is no such datagram
 *
 * @typedef {object} Said one record of a datagram
 * @property {string} type
 * @property {string} text
 * @property {number} [number]
 * @property {string} [service]
 * @property {string} [client]
 * @property {string} [server]
 * @property {string} [cause]
 */

export class Recordings {
  /** @type {import('./processes.mjs').LabProcess[]} */
  #running = [];

  /** @param {import('./laboratory.mjs').Lab} lab @param {readonly Place[]} places */
  constructor(lab, places) {
    this.lab = lab;
    this.places = places;
  }

  /** @param {Place} place */
  #file({ host, device }) {
    return this.lab.file(`${host} ${device}.pcap`);
  }

  /** Starts them all and waits until they listen. */
  async start() {
    this.#running = await Promise.all(
      this.places.map((place) => {
        const { host, device, filter = '', only } = place;
        const flags = [
          '-n',
          '--immediate-mode',
          '-B',
          `${BUFFER_KIB}`,
          '-s',
          `${SNAPSHOT_BYTES}`,
          '-Z',
          'root',
          ...(only ? ['-Q', only] : []),
        ];
        const command = [
          'tcpdump',
          ...flags,
          '-i',
          device,
          '-w',
          this.#file(place),
          ...(filter ? [filter] : []),
        ];
        return this.lab.spawn(host, command, { readyError: /^(tcpdump: )?listening on/ });
      }),
    );
  }

  /**
   * Ends them and reads them.
   * @param {import('./dispatcher.mjs').Dispatcher} dispatcher whose program and configuration open the datagrams
   * @returns {Promise<Seen[]>} all packets in the order of time
   * @throws when the kernel dropped packets: absence would prove nothing
   */
  async stop({ program, configFile }) {
    await Promise.all(this.#running.map((tcpdump) => tcpdump.stop('SIGINT')));
    for (const tcpdump of this.#running) {
      const dropped = tcpdump.errorLines.find(
        (line) => /dropped by (kernel|interface)/.test(line) && !/^0 /.test(line),
      );
      if (dropped !== undefined) throw new Error(`${tcpdump.describe()}: ${dropped}`);
    }
    const files = this.places.map((place) => this.#file(place));
    const command = [process.execPath, program, 'decode', '--json', '--config', configFile, ...files];
    return run(command)
      .stdout.trimEnd()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        const { time, file, records = [], ...rest } = JSON.parse(line);
        return { at: time, where: file, records, ...rest };
      });
  }
}
