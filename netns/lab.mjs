/**
 * `netns/lab`: labs by hand. The same library as the tests and the demo (laboratory.mjs), with a lab that stays up
 * until `down`.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CLUSTER_GROUP } from './cluster.mjs';
import { isBuilt, PROGRAM, runCommand } from './dispatcher.mjs';
import { Dispatchers } from './dispatchers.mjs';
import { inNamespace, waitFor } from './host.mjs';
import { createLab, openLab, release } from './laboratory.mjs';
import { DROP_INVALID, MASQUERADE } from './nftables.mjs';
import { isOwned, labs, remove, sweep } from './registry.mjs';
import { labServices, SERVER_PORTS } from './services.mjs';
import { Spraying } from './spraying.mjs';

const HELP = `Labs of network namespaces: client -- router -- d1 .. dN (dispatchers) -- s1 .. sN

  netns/lab up [single] [options]     one dispatcher and HTTP, TCP and UDP servers; it stays until \`down\`
  netns/lab up cluster [options]      up to four dispatchers; the router hands each packet to the next one
  netns/lab down [LAB | --all]        remove it, and whatever dead owners left behind
  netns/lab sweep                     remove only what dead owners left behind
  netns/lab list                      labs, their hosts and who owns them
  netns/lab exec [--lab LAB] HOST COMMAND...   run a command inside a host

Options of up:
  --servers N                     1 to 8, default 4
  --scheduler NAME                default maglev
  --client-mtu N --uplink-mtu N   bytes, default 1500
  --offloads on|egress-tx-off|off (default on; off in a cluster, where a packet shall be a packet)
Of single:
  --with latchway|nftables|none   what balances on d1 (default latchway; nftables is kernel DNAT, to compare)
  --server-mtu N                  bytes, default 1500
  --masquerade --drop-invalid     what many gateways have: a masquerade, \`ct state invalid drop\`
Of cluster:
  --dispatchers N                 1 to 4, default 3
  --spread spray|by-flow|ecmp-0|ecmp-1    which dispatcher gets which packet (default spray)
  --multicast                     updates are sent once, to a group of the network between dispatchers

LATCHWAY_LAB_TRACE=1 echoes every command that builds the lab.
`;

/** @param {import('./laboratory.mjs').Lab} lab @param {string} balancer */
function whatToTry(lab, balancer) {
  const latchway = (/** @type {string} */ words) =>
    `node dist/cli/main.js ${words} --socket ${lab.file('d1.sock')}`;
  const isCluster = lab.record.topology === 'cluster';
  const views = ['status', 'flows --limit 10', 'servers', 'counters'];
  const ofCluster = [
    'peers',
    'locks',
    'flows --cluster --limit 10',
    "explain 'tcp 198.51.100.2:40000 > 192.0.2.10:80'",
    'diff',
  ];
  const commands = [
    'netns/lab exec client curl -si http://192.0.2.10/',
    "netns/lab exec client curl -s 'http://[2001:db8:f::10]/'",
    'netns/lab exec client node netns/tools/http-load.mjs --requests 1000 --concurrency 20 --progress',
    'netns/lab exec client node netns/tools/http-transfer.mjs --url http://192.0.2.10 --upload 100000000',
    'netns/lab exec client node netns/tools/udp-load.mjs --host 2001:db8:f::10 --sessions 100',
    isCluster
      ? 'netns/lab exec d1 tcpdump -n -i to-hub'
      : 'netns/lab exec d1 tcpdump -n -i to-lan tcp port 8080',
    ...(balancer === 'latchway' ? [...views, ...(isCluster ? ofCluster : [])].map(latchway) : []),
    'netns/lab down',
  ];
  return `What to try:\n${commands.map((command) => `  ${command}`).join('\n')}\n`;
}

/** @param {import('./laboratory.mjs').Lab} lab */
async function startServers(lab) {
  for (const name of lab.servers) {
    lab.spawnDetached(name, lab.toolCommand('http-server', ['--name', name, '--port', SERVER_PORTS.http]));
    lab.spawnDetached(name, lab.toolCommand('talk-server', ['--name', name, '--port', SERVER_PORTS.talk]));
    lab.spawnDetached(name, lab.toolCommand('udp-server', ['--name', name, '--port', SERVER_PORTS.udp]));
  }
  const listening = (/** @type {string} */ name) =>
    lab.must(name, 'ss', '-Hln', '-A', 'tcp,udp').split('\n').length > 4;
  await waitFor(() => lab.servers.every(listening), { what: 'the servers to listen' });
}

/** @param {import('./laboratory.mjs').Lab} lab @param {string} scheduler */
async function startLatchway(lab, scheduler) {
  if (!isBuilt()) throw new Error(`${PROGRAM} is not built: run scripts/setup, or use --with nftables`);
  const files = {
    configFile: lab.file('d1.yaml'),
    socket: lab.file('d1.sock'),
    stateFile: lab.file('d1.state'),
  };
  const services = labServices(lab.servers.length, scheduler);
  writeFileSync(files.configFile, `${JSON.stringify({ services }, null, 2)}\n`);
  lab.spawnDetached('d1', runCommand('d1', { program: PROGRAM, ...files }));
  const forwards = () => lab.must('d1', 'ip', 'route', 'show', 'table', 'all').includes('192.0.2.10');
  try {
    await waitFor(forwards, { what: 'the dispatcher to forward' });
  } catch (error) {
    throw new Error(`${error}\n${lab.must('d1', 'cat', lab.file('d1.log'))}`);
  }
}

/** A cluster in the daemons' own settings, but for times that suit machines which share a processor. @param {import('./laboratory.mjs').Lab} lab @param {Values} values */
async function startCluster(lab, values) {
  if (!isBuilt()) throw new Error(`${PROGRAM} is not built: run scripts/setup`);
  const patient = { 'confirm-timeout': '250ms', lease: '1s' };
  const settings = values.multicast ? { ...patient, multicast: CLUSTER_GROUP[4] } : patient;
  const { config, names } = new Dispatchers(lab, labServices(lab.servers.length, values.scheduler), settings);
  for (const name of names) {
    const files = {
      configFile: lab.file(`${name}.yaml`),
      socket: lab.file(`${name}.sock`),
      stateFile: lab.file(`${name}.state`),
    };
    writeFileSync(files.configFile, `${JSON.stringify(config, null, 2)}\n`);
    lab.spawnDetached(name, runCommand(name, { program: PROGRAM, ...files }));
  }
  const isReady = (/** @type {string} */ name) =>
    /^ready$/m.test(readFileSync(lab.file(`${name}.log`), 'utf8'));
  try {
    await waitFor(() => names.every(isReady), { what: 'the dispatchers to be ready' });
  } catch (error) {
    throw new Error(
      `${error}\n${names.map((name) => readFileSync(lab.file(`${name}.log`), 'utf8')).join('')}`,
    );
  }
}

const UP_OPTIONS = /** @type {const} */ ({
  with: { type: 'string', default: 'latchway' },
  dispatchers: { type: 'string', default: '3' },
  spread: { type: 'string', default: 'spray' },
  multicast: { type: 'boolean', default: false },
  servers: { type: 'string', default: '4' },
  scheduler: { type: 'string', default: 'maglev' },
  'client-mtu': { type: 'string', default: '1500' },
  'uplink-mtu': { type: 'string' },
  'server-mtu': { type: 'string', default: '1500' },
  offloads: { type: 'string' },
  masquerade: { type: 'boolean', default: false },
  'drop-invalid': { type: 'boolean', default: false },
});

/** @typedef {ReturnType<typeof parseUp>['values']} Values */

/** @param {string[]} words */
const parseUp = (words) => parseArgs({ args: words, allowPositionals: true, options: UP_OPTIONS });

/** @param {string[]} words */
async function up(words) {
  const { values, positionals } = parseUp(words);
  const [topology = 'single'] = positionals;
  if (topology !== 'single' && topology !== 'cluster')
    throw new Error(`no topology ${topology}; there are: single, cluster`);
  if (!['latchway', 'nftables', 'none'].includes(values.with))
    throw new Error('--with latchway, nftables or none');
  const isCluster = topology === 'cluster';
  const lab = createLab({
    topology,
    kept: true,
    servers: Number(values.servers),
    clientMtu: Number(values['client-mtu']),
    ...(values['uplink-mtu'] && { uplinkMtu: Number(values['uplink-mtu']) }),
    offloads: /** @type {import('./laboratory.mjs').Offloads} */ (
      values.offloads ?? (isCluster ? 'off' : 'on')
    ),
    ...(isCluster
      ? { dispatchers: Number(values.dispatchers), bridged: values.multicast }
      : {
          serverMtu: Number(values['server-mtu']),
          nftables: (values.masquerade ? MASQUERADE : '') + (values['drop-invalid'] ? DROP_INVALID : ''),
        }),
  });
  await startServers(lab);
  if (isCluster) {
    new Spraying(lab, /** @type {import('./spraying.mjs').SprayMode} */ (values.spread));
    await startCluster(lab, values);
  } else if (values.with === 'nftables') lab.kernelDnat(labServices(lab.servers.length, 'rr'));
  else if (values.with === 'latchway') await startLatchway(lab, values.scheduler);
  release(lab);
  const made = `${lab.name}: ${lab.hosts.join(' ')} (files in ${lab.record.directory})\n`;
  process.stdout.write(`${made}${whatToTry(lab, values.with)}`);
}

/** @param {string[]} words */
function down(words) {
  const gone = sweep();
  const all = labs();
  // A lab of a test that is running belongs to that test: only its name, or --all, removes it.
  const chosen = words.includes('--all')
    ? all
    : all.filter((lab) => (words[0] === undefined ? lab.owner === null : lab.name === words[0]));
  if (words[0] !== undefined && !words[0].startsWith('--') && chosen.length === 0)
    throw new Error(`no lab ${words[0]}`);
  for (const { name } of chosen) remove(name);
  for (const name of [...gone, ...chosen.map((lab) => lab.name)]) process.stdout.write(`removed ${name}\n`);
}

function list() {
  for (const lab of labs()) {
    const process_ = lab.owner === null ? 'kept' : `process ${lab.owner.pid}`;
    const owner = isOwned(lab) ? process_ : 'leftover';
    process.stdout.write(`${lab.name}  ${lab.topology}  ${owner}  ${lab.made}  ${lab.hosts.join(' ')}\n`);
  }
}

/** @param {string[]} words @returns {number} */
function exec(words) {
  const named = words[0] === '--lab';
  const lab = openLab(named ? words[1] : undefined);
  const [host, ...command] = named ? words.slice(2) : words;
  if (host === undefined || command.length === 0) throw new Error('exec HOST COMMAND...');
  const whole = inNamespace(lab.namespace(host), command);
  return spawnSync(/** @type {string} */ (whole[0]), whole.slice(1), { stdio: 'inherit' }).status ?? 1;
}

const [verb, ...words] = process.argv.slice(2);
try {
  if (verb === undefined || verb === 'help' || (process.argv.includes('--help') && verb !== 'exec'))
    process.stdout.write(HELP);
  else if (verb === 'up') await up(words);
  else if (verb === 'down') down(words);
  else if (verb === 'sweep') sweep();
  else if (verb === 'list') list();
  else if (verb === 'exec') process.exitCode = exec(words);
  else {
    process.stderr.write(HELP);
    process.exitCode = 2;
  }
} catch (error) {
  process.stderr.write(`netns/lab: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
