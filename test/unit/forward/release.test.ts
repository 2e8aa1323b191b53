/** What is counted when a row is given back, by its reason. */
import { expect, it } from 'vitest';
import {
  REASON_EVICTED,
  REASON_EXPIRED,
  REASON_REMOVED,
  REASON_REOPENED,
} from '../../../src/table/release-reason.ts';
import { Path } from '../../support/path.ts';
import { request, SYN, service } from '../../support/path-packets.ts';

it.each([
  [REASON_EXPIRED, { 'flow-expired': 1 }],
  [REASON_EVICTED, { 'flow-evicted': 1 }],
  [REASON_REMOVED, {}],
  [REASON_REOPENED, {}],
])('reason %d', (reason, counts) => {
  const path = new Path([service(0, 4)]);
  path.run(request(4, { flags: SYN }));
  const before = path.counters.slice();
  path.table.remove(0, reason);
  expect(path.countsSince(before)).toEqual(counts);
});

it('of sessions only those that ran out are counted', () => {
  const path = new Path([service(0, 4, { affinity: { kind: 'client', prefix: 32 } })]);
  for (const [reason, counts] of [
    [REASON_EXPIRED, { 'session-expired': 1 }],
    [REASON_REMOVED, {}],
  ] as const) {
    path.run(request(4, { flags: SYN }));
    expect(path.table.isSession(1)).toBe(true);
    const before = path.counters.slice();
    path.table.remove(1, reason);
    expect(path.countsSince(before)).toEqual(counts);
    path.table.remove(0);
  }
});

it('a flow without its session entry, or of a service that is gone, ends all the same', () => {
  const bound = service(0, 4, { affinity: { kind: 'client', prefix: 32 } });
  const path = new Path([bound]);
  path.run([request(4, { flags: SYN }), request(4, { flags: SYN, sourcePort: 2 })]);
  path.table.remove(1);
  path.table.remove(0);
  path.apply([]);
  path.table.remove(2);
  expect(path.table.size).toBe(0);
});
