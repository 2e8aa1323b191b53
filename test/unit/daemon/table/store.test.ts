import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BootMoment, bootMoment, passedMs } from '../../../../src/daemon/table/boot-clock.ts';
import { loadTable, removeTable, saveTable } from '../../../../src/daemon/table/store.ts';
import type { DispatchTable } from '../../../../src/table/dispatch-table.ts';
import {
  FLAG_HOLDS,
  FLAG_REPLIED,
  STATE_ESTABLISHED,
  STATE_SESSION,
  sessionMeta,
} from '../../../../src/table/flow-row.ts';
import { makeGeneration, makeService } from '../../../support/services.ts';
import { entry, findForward, insert, makeTable } from '../../../support/table.ts';

const BOOT = '814ee0e6-1e20-4472-980f-41b2d72796d9';
const SAVED: BootMoment = { unixMs: 1_767_322_245_123, uptimeMs: 5_000_000, bootId: BOOT };
const LATER = (ms: number, unixMs: number): BootMoment => ({
  unixMs: SAVED.unixMs + unixMs,
  uptimeMs: SAVED.uptimeMs + ms,
  bootId: BOOT,
});
const GENERATION = makeGeneration([makeService(0)]);
const FLOW = entry(0, { meta: 0, server: 1 });
/** Monotonic ms at which the flow was last seen, and at which the table is saved: idle for a second. */
const SEEN = 5000;
const SAVING = 6000;

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'latchway-table-'));
  file = join(folder, 'd1.table');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function filled(): DispatchTable {
  const table = makeTable(16);
  insert(table, FLOW, STATE_ESTABLISHED, SEEN);
  return table;
}

function save(): void {
  expect(saveTable(file, filled(), GENERATION, SAVING, SAVED)).toBe(1);
}

/** A new process: its monotonic clock says 100. */
function load(moment: BootMoment = LATER(0, 0)) {
  const table = makeTable(16);
  const outcome = loadTable(file, table, GENERATION, 100, moment);
  const row = findForward(table, FLOW);
  return { outcome, idleMs: row < 0 ? undefined : table.idleMs(row, 100) };
}

const NOTHING = { loaded: 0, skipped: 0, result: undefined };

describe('a saved table', () => {
  test('is loaded, stays until it is removed, and no file is no problem', () => {
    save();
    expect(readdirSync(folder)).toEqual(['d1.table']);
    const loaded = { loaded: 1, skipped: 0, result: { ok: true, rows: 1 }, problem: undefined };
    expect(load()).toEqual({ outcome: loaded, idleMs: 1000 });
    expect(load()).toEqual({ outcome: loaded, idleMs: 1000 });
    removeTable(file);
    removeTable(file);
    expect(load().outcome).toEqual({ ...NOTHING, problem: undefined });
  });

  test('replaces the one before; what a killed run left beside it is not followed', () => {
    save();
    const victim = join(folder, 'victim');
    writeFileSync(victim, 'precious');
    symlinkSync(victim, `${file}.new`);
    save();
    expect(readFileSync(victim, 'utf8')).toBe('precious');
    expect(readdirSync(folder).sort()).toEqual(['d1.table', 'victim']);
    expect(load().outcome.loaded).toBe(1);
  });

  test('that cannot be saved leaves nothing beside the one before', () => {
    save();
    const before = readFileSync(file);
    const bad = makeGeneration([makeService(0, { id: 'x'.repeat(256) })]);
    expect(() => saveTable(file, filled(), bad, SAVING, SAVED)).toThrow(RangeError);
    expect(readdirSync(folder)).toEqual(['d1.table']);
    expect(readFileSync(file)).toEqual(before);
  });

  test('that is damaged is an outcome of the decoder', () => {
    save();
    const bytes = readFileSync(file);
    writeFileSync(file, bytes.subarray(0, -1), { mode: 0o600 });
    expect(load().outcome).toMatchObject({ result: { ok: false, fault: 'truncated' }, problem: undefined });
  });
});

describe('a file that is not believed is left alone, with a reason', () => {
  const cases: [what: string, make: () => void, problem: RegExp][] = [
    ['a folder', () => mkdirSync(file), /is no regular file: left alone$/],
    ['a FIFO', () => execFileSync('/usr/bin/mkfifo', [file]), /is no regular file: left alone$/],
    [
      'a symbolic link',
      () => {
        save();
        execFileSync('mv', [file, `${file}.real`]);
        symlinkSync(`${file}.real`, file);
      },
      /is a symbolic link: left alone$/,
    ],
    [
      'one that others may write',
      () => {
        save();
        chmodSync(file, 0o602);
      },
      /may be written by group or others: left alone$/,
    ],
    [
      'one that the group may write',
      () => {
        save();
        chmodSync(file, 0o620);
      },
      /may be written by group or others: left alone$/,
    ],
  ];
  test.each(cases)('%s', (_, make, problem) => {
    make();
    const { outcome } = load();
    expect(outcome).toMatchObject(NOTHING);
    expect(outcome.problem).toMatch(problem);
    removeTable(file);
    expect(existsSync(file)).toBe(true);
  });

  test.runIf(process.geteuid!() === 0)("somebody else's", () => {
    save();
    chownSync(file, 65_534, 65_534);
    expect(load().outcome).toEqual({
      ...NOTHING,
      problem: `${file} belongs to user 65534: left alone`,
    });
  });

  test('a path that leads nowhere', () => {
    writeFileSync(join(folder, 'no-folder'), '');
    file = join(folder, 'no-folder', 'd1.table');
    expect(load().outcome.problem).toMatch(/cannot be read: ENOTDIR/);
  });
});

describe('the time that it lay on disk', () => {
  const HOUR = 3_600_000;

  test('is that of the uptime, whatever became of the wall clock meanwhile', () => {
    save();
    expect(load(LATER(2000, HOUR)).idleMs).toBe(3000);
    expect(load(LATER(2000, -HOUR)).idleMs).toBe(3000);
    // And it does end flows: 15 minutes.
    expect(load(LATER(HOUR, 2000)).outcome).toMatchObject({ loaded: 0, skipped: 1, result: { ok: true } });
  });

  test('after a boot is that of the wall clock', () => {
    save();
    const bootId = BOOT.replace('8', '9');
    expect(load({ unixMs: SAVED.unixMs + 2000, uptimeMs: 1, bootId }).idleMs).toBe(3000);
    expect(load({ unixMs: SAVED.unixMs - 2000, uptimeMs: 1, bootId }).idleMs).toBe(1000);
    expect(load({ unixMs: SAVED.unixMs + HOUR, uptimeMs: 1, bootId }).outcome.skipped).toBe(1);
  });

  test('two boots that are not known are not the same', () => {
    const unknown = { unixMs: 0, uptimeMs: 0, bootId: '' };
    expect(passedMs(unknown, { ...unknown, unixMs: 7 })).toBe(7);
  });

  test('the clocks of this host are there, and do not go back', () => {
    const [first, second] = [bootMoment(), bootMoment()];
    expect(first.bootId).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(second.bootId).toBe(first.bootId);
    expect(first.uptimeMs).toBeGreaterThan(0);
    expect(second.uptimeMs).toBeGreaterThanOrEqual(first.uptimeMs);
  });
});

describe('the flows of a session', () => {
  const session = entry(0, { meta: sessionMeta(0), ports: 0, endpointPort: 0, server: 1 });
  const affinity = { kind: 'client', prefix: 32 } as const;

  /** A flow of the session's server, one of the server that it had before, and one of another client. */
  function load(generation: ReturnType<typeof makeGeneration>): DispatchTable {
    const saved = makeTable(16);
    const other = entry(0, { meta: 0, server: 2, clientPort: 9, ports: (9 << 16) | 443 });
    for (const one of [FLOW, other, entry(2, { meta: 0, server: 1 })])
      saved.setFlags(insert(saved, one, STATE_ESTABLISHED, SEEN), FLAG_REPLIED | FLAG_HOLDS);
    insert(saved, session, STATE_SESSION, SEEN);
    saveTable(file, saved, generation, SAVING, SAVED);
    const table = makeTable(16);
    expect(loadTable(file, table, generation, 100, SAVED).loaded).toBe(4);
    return table;
  }

  test('hold it, whatever their server', () => {
    const table = load(makeGeneration([makeService(0, { affinity })]));
    expect(table.isn(findForward(table, session))).toBe(2);
    expect([0, 1, 2].map((row) => table.flags(row))).toEqual([
      FLAG_REPLIED | FLAG_HOLDS,
      FLAG_REPLIED | FLAG_HOLDS,
      FLAG_REPLIED,
    ]);
  });

  test('of a service without replies come back with their session', () => {
    const generation = makeGeneration([makeService(0, { affinity, mode: 'ipip' })]);
    const saved = makeTable(16);
    const flow = entry(0, { meta: 0, server: 1, endpointPort: 0 });
    saved.setFlags(insert(saved, flow, STATE_ESTABLISHED, SEEN), FLAG_HOLDS);
    insert(saved, session, STATE_SESSION, SEEN);
    saveTable(file, saved, generation, SAVING, SAVED);
    const table = makeTable(16);
    expect(loadTable(file, table, generation, 100, SAVED)).toMatchObject({ loaded: 2, skipped: 0 });
    expect(table.isn(findForward(table, session))).toBe(1);
  });

  test('hold nothing where there is no affinity', () => {
    const table = load(GENERATION);
    expect([0, 1, 2].map((row) => table.flags(row))).toEqual([0, 1, 2].map(() => FLAG_REPLIED));
  });
});
