/**
 * Three namespaces in a row for the host set-up tests: client - gateway - server side, over veth pairs.
 *
 *     client cl0 10.1.0.2/24  2001:db8:1::2/64   --  gw0 10.1.0.1  2001:db8:1::1   gateway
 *     server sv0 10.2.0.2/24  2001:db8:2::2/64   --  gw1 10.2.0.1  2001:db8:2::1   gateway
 *
 * Each helper process is ended, and each namespace removed, by `close`; after a SIGKILL, by the next lab that is made.
 */

import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { register, remove } from '../../netns/registry.mjs';

const DRIVER = fileURLToPath(new URL('./host-driver.mjs', import.meta.url));
const PACKETS = fileURLToPath(new URL('./packets.py', import.meta.url));
/** Far beyond what anything here takes, on a busy machine too. */
const PATIENCE_MS = 120_000;

const SIDES = ['client', 'gateway', 'server'] as const;

export type Side = (typeof SIDES)[number];

/** A helper that talks in lines. */
export class LineProcess {
  readonly child: ChildProcessWithoutNullStreams;
  readonly lines: string[] = [];
  #rest = '';
  #errors = '';
  #waiting: (() => void)[] = [];
  #ended = false;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.child = child;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const parts = (this.#rest + text).split('\n');
      this.#rest = parts.pop()!;
      this.lines.push(...parts);
      this.#wake();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors += text;
    });
    child.stdin.on('error', () => {});
    child.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  write(line: string): void {
    this.child.stdin.write(`${line}\n`);
  }

  /** Waits until a line from number `first` on matches, and returns its number; fails after PATIENCE_MS. */
  async until(matches: (line: string) => boolean, first = 0): Promise<number> {
    const limit = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = this.lines.findIndex((line, index) => index >= first && matches(line));
      if (found >= 0) return found;
      if (this.#ended || performance.now() > limit)
        throw new Error(
          `no such line (${this.#ended ? 'ended' : 'waited'}): ${this.#errors}${this.lines.join('\n')}`,
        );
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 1_000);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** Kills the process and waits for its end. */
  kill(): Promise<void> {
    if (this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      this.child.on('close', () => resolve());
      this.child.kill('SIGKILL');
    });
  }
}

export class HostLab {
  readonly #record = register({ topology: 'host-test', hosts: [...SIDES], kept: false });
  readonly #processes: LineProcess[] = [];

  private constructor() {}

  /** For the gateway's journal, and whatever else is to go with the lab. */
  get directory(): string {
    return this.#record.directory;
  }

  static open(): HostLab {
    const lab = new HostLab();
    for (const side of SIDES) {
      execFileSync('ip', ['netns', 'add', lab.namespace(side)]);
      lab.run(side, 'ip link set lo up');
    }
    lab.#connect('client', 'cl0', 'gw0', 1);
    lab.#connect('server', 'sv0', 'gw1', 2);
    lab.#settle();
    return lab;
  }

  #connect(side: Side, outer: string, inner: string, net: number): void {
    execFileSync('ip', [
      ...['link', 'add', outer, 'netns', this.namespace(side), 'type', 'veth'],
      ...['peer', 'name', inner, 'netns', this.namespace('gateway')],
    ]);
    for (const [where, name, host] of [
      [side, outer, 2],
      ['gateway', inner, 1],
    ] as const) {
      this.run(where, `ip addr add 10.${net}.0.${host}/24 dev ${name}`);
      this.run(where, `ip addr add 2001:db8:${net}::${host}/64 dev ${name} nodad`);
      // A link-local address without duplicate detection, which would change the state while a test compares it.
      this.run(where, `ip addr add fe80::${net}:${host}/64 dev ${name} nodad`);
      this.run(where, `ip link set ${name} addrgenmode none up`);
    }
    this.run(side, `ip route add default via 10.${net}.0.1`);
    this.run(side, `ip -6 route add default via 2001:db8:${net}::1`);
    this.run(side, 'sysctl -q -w net.ipv4.conf.all.rp_filter=0');
  }

  namespace(side: Side): string {
    return `${this.#record.name}-${side}`;
  }

  /** Runs a command, its words separated by single spaces. */
  run(side: Side, command: string, input = ''): string {
    const args = ['netns', 'exec', this.namespace(side), ...command.split(' ')];
    return execFileSync('ip', args, { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'] });
  }

  sysctl(side: Side, values: Readonly<Record<string, number>>): void {
    for (const [key, value] of Object.entries(values)) this.run(side, `sysctl -q -w ${key}=${value}`);
  }

  /** Waits until the kernel has noticed that both ends of each pair are up. */
  #settle(): void {
    for (let tries = 0; tries < 500; tries++)
      if (!/state (DOWN|LOWERLAYERDOWN)/.test(this.run('gateway', 'ip link'))) return;
    throw new Error('the links of the lab do not come up');
  }

  /** Keeps a host from answering what reaches it with ICMP errors, which quote the packet and so look like it. */
  mute(side: Side): void {
    const rules = 'type filter hook output priority 0; icmp type 3 drop; icmpv6 type 1 drop;';
    this.run(side, 'nft -f -', `table inet mute { chain out { ${rules} }; }`);
  }

  /** Starts a program that ends with the lab at the latest. */
  start(side: Side, command: readonly string[]): LineProcess {
    // `nsenter` would fork; `ip netns exec` becomes the command, so that killing it kills the command.
    const started = new LineProcess(spawn('ip', ['netns', 'exec', this.namespace(side), ...command]));
    this.#processes.push(started);
    return started;
  }

  async packets(side: Side, ...words: readonly string[]): Promise<LineProcess> {
    const started = this.start(side, ['python3', PACKETS, ...words]);
    await started.until((line) => line === 'ready');
    return started;
  }

  driver(): HostDriver {
    return this.driverWith([process.execPath, DRIVER]);
  }

  /** A driver by other words, such as `env PATH=... node DRIVER`. */
  driverWith(command: readonly string[]): HostDriver {
    return new HostDriver(this.start('gateway', command));
  }

  /** Everything about the gateway's network that a run must leave as it found it. */
  snapshot(): string {
    const parts = ['ip -4 addr', 'ip -6 addr', 'ip link', 'ip -4 rule', 'ip -6 rule', 'nft list ruleset'];
    const routes = ['ip -4 route show table all', 'ip -6 route show table all'];
    const shown = [...parts, ...routes].map((command) => `# ${command}\n${this.run('gateway', command)}`);
    const sysctls = this.run('gateway', 'sysctl -a --ignore')
      .split('\n')
      // Counters and clocks of the whole machine, no settings.
      .filter((line) => line.startsWith('net.') && !/nf_conntrack_count|route\.flush/.test(line));
    return [...shown, ...sysctls].join('\n').replace(/(valid|preferred)_lft \d+sec/g, '$1_lft');
  }

  async close(): Promise<void> {
    for (const one of this.#processes) await one.kill();
    remove(this.#record.name);
  }
}

export interface DriverAnswer {
  // biome-ignore lint/suspicious/noExplicitAny: the tests look into what the driver sends as JSON.
  readonly value?: any;
  readonly fault?: { readonly code: string } & Readonly<Record<string, unknown>>;
  readonly message?: string;
}

/** The library, running inside the gateway. */
export class HostDriver {
  readonly process: LineProcess;
  #asked = 0;

  constructor(process: LineProcess) {
    this.process = process;
  }

  async ask(verb: string, rest: object = {}): Promise<DriverAnswer> {
    const number = this.#asked++;
    this.process.write(JSON.stringify({ verb, ...rest }));
    await this.process.until(() => true, number);
    return JSON.parse(this.process.lines[number]!) as DriverAnswer;
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above.
  async must(verb: string, rest: object = {}): Promise<any> {
    const answer = await this.ask(verb, rest);
    if (answer.fault !== undefined) throw new Error(answer.message);
    return answer.value;
  }
}
