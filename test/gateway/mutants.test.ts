/**
 * The cause of success taken away: builds with one fault each, which the witnesses of the other tests must see. What
 * passes with the fault as it does without would prove nothing.
 */
import { afterEach, expect, test } from 'vitest';
import { createLab, type Lab, type LabOptions } from '../../netns/laboratory.mjs';
import { buildMutant, type Mutation } from '../../netns/mutant.mjs';
import { natService, SERVER_PORTS } from '../../netns/services.mjs';
import {
  checksumErrors,
  narrowServerSide,
  readAllSnmp,
  startDispatcher,
  startServers,
  waitFor,
} from '../support/lab.ts';

const { http, udp } = SERVER_PORTS;
const TWO = { scheduler: 'rr', count: 2 };
const CONFIG = {
  services: {
    web: natService('192.0.2.10', 'tcp', 80, http, TWO),
    echo: natService('192.0.2.10', 'udp', 53, udp, TWO),
  },
};

let lab: Lab;
afterEach(() => lab.close());

async function open(mutation: Mutation, options: LabOptions) {
  lab = createLab({ servers: 2, ...options });
  await startServers(lab, 'http-server', ['--port', http]);
  await startServers(lab, 'udp-server', ['--port', udp]);
  return startDispatcher(lab, CONFIG, { program: buildMutant(lab, mutation) });
}

const PARTIAL_AS_FULL: Mutation = {
  file: 'wire/virtio.js',
  from: 'return (view.getUint8(packet - VNET_SIZE + VNET_FLAGS) & VNET_NEEDS_CSUM) !== 0;',
  to: 'return false;',
};

test('a partial checksum taken for a full one: broken checksums at the servers', async () => {
  await open(PARTIAL_AS_FULL, { offloads: 'egress-tx-off' });
  const before = readAllSnmp(lab, ['client', ...lab.servers]);
  const load = ['--requests', 4, '--timeout', 1000];
  expect(await lab.tool('client', 'http-load', load)).toMatchObject({ ok: 0, broken: 4 });
  expect(Object.keys(checksumErrors(lab, before))).toEqual(lab.servers);
});

test('the same with offloads on stays unseen: that is why checksums are judged with them off', async () => {
  await open(PARTIAL_AS_FULL, { offloads: 'on' });
  expect(await lab.tool('client', 'http-load', ['--requests', 4])).toMatchObject({ ok: 4, broken: 0 });
});

test("no 'too big' to clients: a path MTU black hole", async () => {
  const mutation = {
    file: 'forward/egress.js',
    from: 'return family === 6 || ipv4DontFragment',
    to: 'return false && ipv4DontFragment',
  };
  await open(mutation, { clientMtu: 9000, serverMtu: 9000 });
  narrowServerSide(lab);
  const upload = ['--url', 'http://192.0.2.10', '--upload', 1_000_000, '--timeout', 4000];
  expect(await lab.tool('client', 'http-transfer', upload)).toMatchObject({ ok: 0 });
});

test('rules that somebody removes are put back', async () => {
  lab = createLab({ servers: 2 });
  await startDispatcher(lab, CONFIG);
  const rules = () => lab.must('d1', 'ip', 'rule', 'show');
  const before = rules();
  for (const [, priority] of before.matchAll(/^(73\d\d):.*ipproto/gm)) {
    lab.must('d1', 'ip', 'rule', 'del', 'priority', priority!);
  }
  await waitFor(() => rules() === before, { what: 'the rules' });
});
