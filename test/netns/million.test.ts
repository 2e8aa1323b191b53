/**
 * The scenario of a million flows, with fewer: `netns/scenarios/million-flows` by hand, or LATCHWAY_FULL=1, has them all.
 * Where the table is too small, or the dispatcher forgets, it must say so.
 */
import { describe, expect, test } from 'vitest';
import { millionFlows } from '../../netns/scenarios/million-flows.mjs';
import { PACKET_SIZE, Tuples } from '../../netns/tools/flow-generator-packet.mjs';

const FULL = process.env['LATCHWAY_FULL'] === '1';

test(`${FULL ? 1_000_000 : 50_000} flows keep their servers, are listed while they go on, and give their rows back`, async () => {
  const verdict = await millionFlows({ flows: FULL ? 1_000_000 : 50_000 });
  expect(verdict.broken).toEqual([]);
  expect(verdict.claims.map(({ claim }) => claim)).toContain('expiry gives all slots back');
});

describe('a broken claim, where', () => {
  test('the table is smaller than the flows', async () => {
    const { broken } = await millionFlows({ flows: 5000, capacity: 4096 });
    expect(broken.join('\n')).toMatch(/each was opened once: .*"flow-evicted":[1-9]/);
    expect(broken.join('\n')).toMatch(/the table holds exactly these flows: .*"used":4096/);
  });

  test('the dispatcher crashes between the rounds', async () => {
    const { broken } = await millionFlows({ flows: 5000, kill9: true });
    expect(broken.join('\n')).toMatch(/by the server that answered the flow before: .*"moved":[1-9]/);
    expect(broken.join('\n')).toMatch(/no look-up failed: .*"flow-opened":5000,"before":0/);
  });
});

describe('the generator sees', () => {
  const client = new Tuples({ vip: '192.0.2.10', port: 53, first: '100.64.0.0', addresses: 16, flows: 100 });

  /** The answer to flow 77: its request with the ends exchanged, and then `change` made to it. */
  function judged(change: (view: DataView) => void): string {
    const view = new DataView(new ArrayBuffer(PACKET_SIZE));
    client.build(view, 0, 77, 1);
    const [source, destination] = [view.getUint32(12), view.getUint32(16)];
    const [from, to] = [view.getUint16(20), view.getUint16(22)];
    view.setUint32(12, destination);
    view.setUint32(16, source);
    view.setUint16(20, to);
    view.setUint16(22, from);
    change(view);
    return client.judge(view, 0, PACKET_SIZE);
  }

  test.each([
    ['answer', 'nothing changed', () => {}],
    ['wrongSource', "a server's address", (view: DataView) => view.setUint32(12, 0x0a00020b)],
    ['wrongSource', "a server's port", (view: DataView) => view.setUint16(20, 5300)],
    ['wrongChecksum', 'another TTL alone', (view: DataView) => view.setUint8(8, 63)],
    ['wrongChecksum', 'a broken payload', (view: DataView) => view.setUint8(43, 1)],
    ['wrongPayload', 'no mark of its own', (view: DataView) => view.setUint32(28, 0)],
  ] as const)('%s: %s', (verdict, _, change) => {
    expect(judged(change)).toBe(verdict);
  });
});
