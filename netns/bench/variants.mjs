/**
 * What is compared: each variant brings traffic from the client to s1, in a lab of topology `line`.
 *
 * `kernel` forwards and nothing else: the client knows the server's own address. All others balance a virtual address
 * over one server, which is the least that they can do.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { isBuilt, startDispatcher } from '../dispatcher.mjs';
import { waitFor } from '../host.mjs';
import { serverAddress } from '../single.mjs';

/**
 * @typedef {import('../laboratory.mjs').Lab} Lab
 *
 * @typedef {object} Variant
 * @property {string} name
 * @property {string} title for the table
 * @property {boolean} udp
 * @property {() => string | undefined} missing what is not installed, and how to get it
 * @property {(lab: Lab) => Promise<string>} start makes it forward; the address that clients use
 */

export const PORTS = { bulk: 5201, echo: 7000, sink: 9000 };
const VIP = '192.0.2.10';
const SERVER = serverAddress(1, 4);
const NGINX_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';

/** @param {string} program @param {string} packages */
function unlessInstalled(program, packages) {
  return () =>
    spawnSync('sh', ['-c', `command -v ${program}`]).status === 0
      ? undefined
      : `${program} is not installed: apt-get install ${packages}`;
}

/** What no variant can be measured without. @returns {string[]} */
export function missingTools() {
  const tools = /** @type {const} */ ([
    ['iperf3', 'iperf3'],
    ['ethtool', 'ethtool'],
    ['cc', 'gcc libc6-dev'],
  ]);
  return tools.flatMap(([program, packages]) => unlessInstalled(program, packages)() ?? []);
}

/** @param {'tcp' | 'udp'} protocol @param {number} port */
function service(protocol, port) {
  const servers = { s1: { address: SERVER, port } };
  return { vip: VIP, protocol, ports: [port], mode: 'nat', servers, health: { type: 'none' } };
}

const SERVICES = {
  bulk: service('tcp', PORTS.bulk),
  echo: service('tcp', PORTS.echo),
  sink: service('udp', PORTS.sink),
};

/** @param {Lab} lab */
async function startLatchway(lab) {
  await startDispatcher(lab, { services: SERVICES });
  return VIP;
}

/** @param {Lab} lab */
async function startNftables(lab) {
  lab.kernelDnat(SERVICES);
  // A run opens more connections than conntrack keeps by default for two minutes each.
  lab.must('d1', 'sysctl', '-q', '-w', 'net.netfilter.nf_conntrack_tcp_timeout_time_wait=1');
  return VIP;
}

/** Proxies listen on the virtual address. @param {Lab} lab @param {string[]} command */
async function startProxy(lab, command) {
  lab.must('d1', 'ip', 'addr', 'add', `${VIP}/32`, 'dev', 'lo');
  const proxy = await lab.spawn('d1', command);
  const listening = () => lab.must('d1', 'ss', '-Hltn').includes(`${VIP}:${PORTS.echo}`);
  await waitFor(() => listening() || proxy.exit !== undefined, { what: `${command[0]} to listen` });
  if (proxy.exit !== undefined) throw new Error(proxy.describe());
  return VIP;
}

/** @param {Lab} lab */
function startHaproxy(lab) {
  const parts = [PORTS.bulk, PORTS.echo].map(
    (port) =>
      `listen port${port}\n  bind ${VIP}:${port} backlog 4096\n  server s1 ${SERVER}:${port} maxconn 4000\n`,
  );
  const timeouts = 'timeout connect 5s\n  timeout client 60s\n  timeout server 60s';
  const text = `global\n  maxconn 8000\ndefaults\n  mode tcp\n  maxconn 8000\n  ${timeouts}\n${parts.join('')}`;
  writeFileSync(lab.file('haproxy.cfg'), text);
  return startProxy(lab, ['haproxy', '-db', '-f', lab.file('haproxy.cfg')]);
}

/** @param {Lab} lab */
function startNginx(lab) {
  const parts = [
    ...[PORTS.bulk, PORTS.echo].map(
      (port) => `  server { listen ${VIP}:${port} backlog=4096; proxy_pass ${SERVER}:${port}; }`,
    ),
    `  server { listen ${VIP}:${PORTS.sink} udp reuseport; proxy_pass ${SERVER}:${PORTS.sink}; proxy_responses 0; }`,
  ];
  const text = [
    existsSync(NGINX_MODULE) ? `load_module ${NGINX_MODULE};` : '',
    'daemon off; worker_processes auto; worker_rlimit_nofile 65536;',
    `pid ${lab.file('nginx.pid')}; error_log ${lab.file('nginx.log')} crit;`,
    'events { worker_connections 16384; }',
    `stream {\n  proxy_connect_timeout 5s;\n${parts.join('\n')}\n}`,
  ];
  writeFileSync(lab.file('nginx.conf'), `${text.join('\n')}\n`);
  return startProxy(lab, ['nginx', '-c', lab.file('nginx.conf')]);
}

/** The first one is what the others are measured by. @type {readonly Variant[]} */
export const VARIANTS = [
  {
    name: 'kernel',
    title: 'kernel forwarding',
    udp: true,
    missing: () => undefined,
    start: async () => SERVER,
  },
  {
    name: 'latchway',
    title: 'Latchway (nat)',
    udp: true,
    missing: () => (isBuilt() ? undefined : 'Latchway is not built: run scripts/setup'),
    start: startLatchway,
  },
  {
    name: 'nftables',
    title: 'nftables DNAT',
    udp: true,
    missing: unlessInstalled('nft', 'nftables'),
    start: startNftables,
  },
  {
    name: 'haproxy',
    title: 'HAProxy (tcp)',
    udp: false,
    missing: unlessInstalled('haproxy', 'haproxy'),
    start: startHaproxy,
  },
  {
    name: 'nginx',
    title: 'nginx (stream)',
    udp: true,
    missing: unlessInstalled('nginx', 'nginx libnginx-mod-stream'),
    start: startNginx,
  },
];
