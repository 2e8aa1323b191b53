/**
 * A lab: the namespaces of a topology, what runs in them, and the promise that all of it goes away again.
 *
 * `createLab` builds a plan (see single.mjs) in the kernel: namespaces, settings, links, then each namespace's own
 * addresses and routes. Everything is removed by `close`, by the end of this process, by SIGINT or SIGTERM, and,
 * after a SIGKILL, by the next lab that is made (registry.mjs). Processes of a lab are found by their namespace, so
 * none is forgotten. Tests, demo, bench and `netns/lab` all use this one.
 */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cluster } from './cluster.mjs';
import { DEADLINE_MS, inNamespace, ipBatch, pause, run } from './host.mjs';
import { line } from './line.mjs';
import { dnatRules } from './nftables.mjs';
import { runProcess, startDetached, startProcess } from './processes.mjs';
import { isOwned, labs, register, remove, sweep } from './registry.mjs';
import { single } from './single.mjs';

/** The topologies by name. @type {Record<'cluster' | 'line' | 'single', (options: LabOptions) => import('./single.mjs').Plan>} */
export const TOPOLOGIES = { cluster, line, single };

export const PROJECT = dirname(dirname(fileURLToPath(import.meta.url)));
const TOOLS = join(PROJECT, 'netns', 'tools');

/**
 * `on`: as the kernel makes them. `egress-tx-off`: the dispatchers' interfaces complete checksums in software, so that a packet
 * whose partial checksum was mistaken for a full one arrives broken. `off`: neither checksum nor segmentation
 * offload anywhere: only packets as they would be on a wire.
 * @typedef {'on' | 'egress-tx-off' | 'off'} Offloads
 *
 * @typedef {import('./single.mjs').SingleOptions & import('./cluster.mjs').ClusterOptions & {
 *   topology?: keyof typeof TOPOLOGIES, offloads?: Offloads, nftables?: string, kept?: boolean
 * }} LabOptions `nftables`: a ruleset for d1; `kept`: the lab stays when this process ends
 */

/** @type {Set<Lab>} */
const open = new Set();
let guarded = false;

function closeAll() {
  for (const lab of open) lab.close();
}

/** Makes the end of this process the end of its labs. */
function guard() {
  if (guarded) return;
  guarded = true;
  process.once('exit', closeAll);
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.once(signal, () => {
      closeAll();
      process.kill(process.pid, signal); // the listener is gone: this time it is the end
    });
  }
}

/** Namespaces, links and processes of one topology; made by `createLab` or found again by `openLab`. */
export class Lab {
  /** @param {import('./registry.mjs').LabRecord} record @param {import('./single.mjs').Link[]} links */
  constructor(record, links) {
    this.record = record;
    this.links = links;
  }

  get name() {
    return this.record.name;
  }

  get hosts() {
    return this.record.hosts;
  }

  /** Names of the servers, `s1` first. */
  get servers() {
    return this.record.hosts.filter((host) => /^s\d+$/.test(host));
  }

  /** A path for a file of this lab; it goes with the lab. @param {string} name */
  file(name) {
    return join(this.record.directory, name);
  }

  /** @param {string} host */
  namespace(host) {
    if (!this.hosts.includes(host)) throw new Error(`no host ${host}; this lab has ${this.hosts.join(', ')}`);
    return `${this.name}-${host}`;
  }

  /**
   * Runs a command to its end; a non-zero exit is an answer, not an error.
   * @param {string} host
   * @param {readonly string[]} command
   * @param {{ input?: string, deadlineMs?: number }} [options]
   */
  exec(host, command, options) {
    return runProcess(this.namespace(host), host, command, options);
  }

  /** The same where failure is an error. @param {string} host @param {...string} command */
  must(host, ...command) {
    return run(inNamespace(this.namespace(host), command)).stdout;
  }

  /**
   * Starts a command in the background.
   * @param {string} host
   * @param {readonly string[]} command
   * @param {import('./processes.mjs').SpawnOptions} [options]
   */
  spawn(host, command, options) {
    return startProcess(this.namespace(host), host, command, options);
  }

  /** Starts a command that outlives this process. @param {string} host @param {readonly string[]} command */
  spawnDetached(host, command) {
    return startDetached(this.namespace(host), command, this.file(`${host}.log`));
  }

  /** The command line of one of netns/tools. @param {string} tool @param {readonly (string | number)[]} parameters */
  toolCommand(tool, parameters = []) {
    return [process.execPath, join(TOOLS, `${tool}.mjs`), ...parameters.map(String)];
  }

  /**
   * Starts a tool that says `listening` or `ready` when it is.
   * @param {string} host
   * @param {string} tool
   * @param {readonly (string | number)[]} [parameters]
   */
  startTool(host, tool, parameters = []) {
    return this.spawn(host, this.toolCommand(tool, parameters), { ready: /^(listening|ready)/ });
  }

  /**
   * Runs a tool to its end and reads the JSON object that is its last line.
   * @param {string} host
   * @param {string} tool
   * @param {readonly (string | number)[]} [parameters]
   * @param {{ deadlineMs?: number }} [options]
   * @returns {Promise<any>}
   */
  async tool(host, tool, parameters = [], options = {}) {
    const { code, stdout, stderr } = await this.exec(host, this.toolCommand(tool, parameters), options);
    const last = stdout.trimEnd().split('\n').at(-1) ?? '';
    if (!last.startsWith('{')) throw new Error(`${tool} on ${host}: exit ${code}\n${stdout}\n${stderr}`);
    return JSON.parse(last);
  }

  /** Loads an nftables ruleset; a fault in it is an error, never silence. @param {string} host @param {string} rules */
  nftables(host, rules) {
    run(inNamespace(this.namespace(host), ['nft', '-f', '-']), { input: rules });
  }

  /** DNAT by the kernel instead of a dispatcher. @param {Record<string, import('./nftables.mjs').ServiceLike>} services */
  kernelDnat(services) {
    this.nftables('d1', dnatRules(services));
  }

  /** Every interface of the lab's links. @returns {[host: string, device: string][]} */
  get devices() {
    return this.links.flatMap(({ from, to }) => [from, to]);
  }

  /** @param {Offloads} mode */
  setOffloads(mode) {
    for (const [host, device] of this.devices) {
      const whole = mode === 'off' ? 'off' : 'on';
      const checksums = mode === 'off' || (mode === 'egress-tx-off' && /^d\d$/.test(host)) ? 'off' : 'on';
      // Without checksum offload the kernel switches segmentation offload off by itself.
      const flags = ['tx', checksums, 'tso', checksums, 'gso', whole, 'gro', whole];
      run(inNamespace(this.namespace(host), ['ethtool', '-K', device, ...flags]));
    }
  }

  /** Removes everything, at once and without questions. */
  close() {
    open.delete(this);
    remove(this.name);
  }
}

/** @param {import('./single.mjs').Plan} plan @param {string} name */
function build(plan, name) {
  ipBatch(plan.hosts.map((host) => `netns add ${name}-${host.name}`));
  for (const host of plan.hosts) {
    run(inNamespace(`${name}-${host.name}`, ['sysctl', '-q', '-w', ...host.sysctls]));
  }
  ipBatch(
    plan.links.map(({ from, to, mtuBytes }) => {
      const near = `${from[1]} netns ${name}-${from[0]} mtu ${mtuBytes}`;
      return `link add ${near} type veth peer name ${to[1]} netns ${name}-${to[0]} mtu ${mtuBytes}`;
    }),
  );
  for (const host of plan.hosts) {
    ipBatch(['link set lo up', ...host.commands], `${name}-${host.name}`);
  }
  for (const host of plan.hosts) settle(`${name}-${host.name}`);
}

/**
 * Waits until the kernel has noticed that the links of a namespace are up and has made their link-local addresses: it does
 * so by and by, which a test that compares before and after would see.
 * @param {string} namespace
 */
function settle(namespace) {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const links = JSON.parse(run(['ip', '-n', namespace, '-j', 'addr']).stdout);
    const late = links.filter((/** @type {any} */ { link_type, operstate, addr_info }) => {
      const local = addr_info.find(
        (/** @type {any} */ one) => one.family === 'inet6' && one.scope === 'link',
      );
      return link_type !== 'loopback' && (/DOWN/.test(operstate) || local === undefined || local.tentative);
    });
    if (late.length === 0) return;
    if (performance.now() > deadline)
      throw new Error(`${namespace} does not come up: ${JSON.stringify(late)}`);
    pause(10);
  }
}

/**
 * Builds a lab, after sweeping leftovers of dead ones away.
 * @param {LabOptions} [options]
 * @returns {Lab}
 */
export function createLab(options = {}) {
  const topology = options.topology ?? 'single';
  const plan = TOPOLOGIES[topology](options);
  guard();
  sweep();
  const record = register({
    topology,
    hosts: plan.hosts.map((host) => host.name),
    kept: options.kept ?? false,
  });
  const lab = new Lab(record, plan.links);
  writeFileSync(lab.file('links.json'), JSON.stringify(plan.links));
  open.add(lab);
  try {
    build(plan, lab.name);
    if (options.offloads && options.offloads !== 'on') lab.setOffloads(options.offloads);
    if (options.nftables) lab.nftables('d1', options.nftables);
  } catch (error) {
    lab.close();
    throw error;
  }
  return lab;
}

/** Lets a kept lab go on after this process. @param {Lab} lab */
export function release(lab) {
  open.delete(lab);
}

/** A lab made elsewhere, by name or, when there is only one, without. @param {string} [name] */
export function openLab(name) {
  const found = labs().filter((record) => isOwned(record) && (name === undefined || record.name === name));
  if (found.length === 0) throw new Error(name === undefined ? 'no lab is up' : `no lab ${name}`);
  if (found.length > 1)
    throw new Error(`several labs are up (${found.map((lab) => lab.name).join(', ')}): use --lab`);
  return new Lab(/** @type {import('./registry.mjs').LabRecord} */ (found[0]), []);
}
