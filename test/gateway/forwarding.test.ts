/**
 * Real clients and servers through the dispatcher: every mode, family and pair of families, compared byte for byte,
 * with checksum and segmentation offload on and off, one and two queues. No receiver may see a broken checksum.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Dispatcher } from '../../netns/dispatcher.mjs';
import { createLab, type Lab, type Offloads } from '../../netns/laboratory.mjs';
import { ipipService, natService, SERVER_PORTS, type Service } from '../../netns/services.mjs';
import { DIRECT_VIPS } from '../../netns/single.mjs';
import {
  checksumErrors,
  readAllSnmp,
  startCapture,
  startDecapsulators,
  startDispatcher,
  startServers,
} from '../support/lab.ts';

const { http, udp } = SERVER_PORTS;
const UPLOAD_BYTES = 100_000_000;
const SMALL_BYTES = 5_000_000;
const DOWNLOAD_BYTES = 1_000_000;
const [FOUR_IN_FOUR, FOUR_IN_SIX] = DIRECT_VIPS[4] as [string, string];
const [SIX_IN_SIX, SIX_IN_FOUR] = DIRECT_VIPS[6] as [string, string];

/** Where clients go, by what is tried: URL host and port of HTTP, port of UDP echo. */
const PATHS = {
  'nat IPv4': { host: '192.0.2.10', http: 80, udp: 53 },
  'nat IPv6': { host: '2001:db8:f::10', http: 80, udp: 53 },
  'ipip 4 in 4': { host: FOUR_IN_FOUR, http, udp },
  'ipip 6 in 6': { host: SIX_IN_SIX, http, udp },
  'ipip 4 in 6': { host: FOUR_IN_SIX, http, udp },
  'ipip 6 in 4': { host: SIX_IN_FOUR, http, udp },
} as const;
type Path = keyof typeof PATHS;
const MAIN_PATHS: readonly Path[] = ['nat IPv4', 'nat IPv6', 'ipip 4 in 4', 'ipip 6 in 6'];

function services(): Record<string, Service> {
  const all: Record<string, Service> = {};
  for (const [name, path] of Object.entries(PATHS)) {
    const id = name.toLowerCase().replaceAll(' ', '-');
    if (name.startsWith('nat')) {
      all[`${id}-http`] = natService(path.host, 'tcp', path.http, http, { scheduler: 'rr' });
      all[`${id}-udp`] = natService(path.host, 'udp', path.udp, udp, { scheduler: 'rr' });
    } else {
      const outer = name.endsWith('4') ? 4 : 6;
      all[`${id}-http`] = ipipService(path.host, 'tcp', path.http, outer, { scheduler: 'rr' });
      all[`${id}-udp`] = ipipService(path.host, 'udp', path.udp, outer, { scheduler: 'rr' });
    }
  }
  return all;
}

const urlOf = ({ host, http: port }: (typeof PATHS)[Path]) =>
  `http://${host.includes(':') ? `[${host}]` : host}:${port}`;

/** HTTP requests, a download, an upload and UDP sessions on one path. */
async function exercise(lab: Lab, name: Path, uploadBytes: number): Promise<void> {
  const path = PATHS[name];
  const url = urlOf(path);
  const loaded = await lab.tool('client', 'http-load', ['--url', `${url}/`, '--requests', 40]);
  expect(loaded, name).toMatchObject({ ok: 40, broken: 0 });
  expect(Object.keys(loaded.byServer).sort(), name).toEqual(lab.servers);
  const sizes = ['--download', DOWNLOAD_BYTES, '--upload', uploadBytes];
  const moved = await lab.tool('client', 'http-transfer', ['--url', url, ...sizes]);
  expect(moved, name).toMatchObject({ transfers: 2, ok: 2, faults: [] });
  for (const more of [[], ['--connected', '--size', 1400, '--reply-size', 1400]]) {
    const where = ['--host', path.host, '--port', path.udp, '--sessions', 40, '--datagrams', 3];
    const talked = await lab.tool('client', 'udp-load', [...where, ...more]);
    expect(talked, name).toMatchObject({ answered: 120, lost: 0, mixed: 0, wrongSource: 0, wrongSize: 0 });
  }
}

let lab: Lab;
let dispatcher: Dispatcher | undefined;

beforeAll(async () => {
  lab = createLab();
  await startServers(lab, 'http-server', ['--port', http]);
  const held = [...DIRECT_VIPS[4], ...DIRECT_VIPS[6]].join(',');
  await Promise.all(
    lab.servers.map((name, index) => {
      const own = `10.0.2.${11 + index},2001:db8:2::${11 + index}`;
      return lab.startTool(name, 'udp-server', ['--name', name, '--port', udp, '--bind', `${own},${held}`]);
    }),
  );
  await startDecapsulators(lab);
});
afterAll(() => lab.close());

async function dispatch(queues: number): Promise<void> {
  await dispatcher?.stop();
  dispatcher = await startDispatcher(lab, { device: { queues }, services: services() });
}

test('without a dispatcher none of the paths works', async () => {
  for (const path of Object.values(PATHS)) {
    const options = ['--url', `${urlOf(path)}/`, '--requests', 4, '--timeout', 500];
    expect(await lab.tool('client', 'http-load', options)).toMatchObject({ ok: 0, broken: 4 });
  }
});

describe.each([1, 2])('%d queue(s)', (queues) => {
  beforeAll(() => dispatch(queues));

  test.each<Offloads>(['on', 'egress-tx-off', 'off'])('offloads %s', async (offloads) => {
    lab.setOffloads(offloads);
    const before = readAllSnmp(lab, ['client', ...lab.servers]);
    for (const path of MAIN_PATHS) await exercise(lab, path, queues === 1 ? UPLOAD_BYTES : SMALL_BYTES);
    expect(checksumErrors(lab, before)).toEqual({});
    // Packets of a wire are joined again before they are written: that they were makes this test one of it.
    if (offloads === 'off') expect(dispatcher!.json('counters').joined).toBeGreaterThan(1000);
  });

  test('a client never hears a server by its own address', async () => {
    lab.setOffloads('on');
    const servers = 'src net 10.0.2.0/24 or src net 2001:db8:2::/64';
    const capture = await startCapture(lab, 'client', 'to-router', servers);
    for (const path of MAIN_PATHS) await exercise(lab, path, DOWNLOAD_BYTES);
    expect(await capture.stop()).toEqual([]);
  });
});

test('ipip takes servers of the other family', async () => {
  await dispatch(1);
  lab.setOffloads('on');
  const before = readAllSnmp(lab, ['client', ...lab.servers]);
  for (const path of ['ipip 4 in 6', 'ipip 6 in 4'] as const) await exercise(lab, path, SMALL_BYTES);
  expect(checksumErrors(lab, before)).toEqual({});
});
