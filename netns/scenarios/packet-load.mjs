/** The C program that sends packets of any source, built into a lab's directory and run in its hosts. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { inNamespace, run } from '../host.mjs';
import { PROJECT } from '../laboratory.mjs';

/** @typedef {{ sent: number, refused: number, ms: number }} Sent */

export class PacketLoad {
  /** @param {import('../laboratory.mjs').Lab} lab */
  constructor(lab) {
    this.lab = lab;
    this.program = lab.file('packet-load');
    const source = join(PROJECT, 'netns', 'tools', 'packet-load.c');
    run(['cc', '-O2', '-Wall', '-Wextra', '-Werror', '-o', this.program, source]);
  }

  /**
   * Sends whole IPv4 packets from a host.
   * @param {string} host @param {readonly Buffer[]} packets
   * @returns {Promise<Sent>}
   */
  async send(host, packets) {
    const command = inNamespace(this.lab.namespace(host), [this.program, 'send']);
    const child = spawn(/** @type {string} */ (command[0]), command.slice(1), {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (data) => {
      said += data;
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    for (const packet of packets) {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(packet.length);
      if (!child.stdin.write(Buffer.concat([length, packet])))
        await new Promise((resolve) => child.stdin.once('drain', () => resolve(undefined)));
    }
    child.stdin.end();
    await ended;
    return JSON.parse(said);
  }

  /**
   * A flood of SYNs whose sources are forged.
   * @param {string} host @param {{ vip: string, port: number, milliseconds: number, rate: number }} flood `rate` 0: as many as go
   * @returns {Promise<Sent>}
   */
  async syns(host, { vip, port, milliseconds, rate }) {
    const command = [this.program, 'syn', vip, port, milliseconds, rate].map(String);
    const { stdout, stderr } = await this.lab.exec(host, command, { deadlineMs: milliseconds + 60_000 });
    if (stdout === '') throw new Error(`packet-load: ${stderr}`);
    return JSON.parse(stdout);
  }
}
