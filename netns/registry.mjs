/**
 * The labs of this host: one state file each, written before the first namespace, removed after the last.
 *
 * A lab is a set of namespaces `NAME-HOST`, every process inside them, and one directory. Whoever made it is its
 * owner (a process id with its start time, so that a reused id is no owner; or nobody, for labs that `up` leaves
 * behind on purpose). A lab whose owner is dead is a leftover: the next one that is made sweeps it away.
 */
import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { namespaces, pause, run } from './host.mjs';

/**
 * @typedef {object} LabRecord
 * @property {string} name
 * @property {string} topology
 * @property {{ pid: number, started: string } | null} owner null: kept until `down`
 * @property {string} directory files of the lab: configuration, sockets, logs
 * @property {string} made ISO time, for people
 * @property {string[]} hosts
 */

const STATE_DIRECTORY = '/run/latchway-lab';
const JOURNAL_DIRECTORY = '/run/latchway';
const NAME_PATTERN = /^(lw-[0-9a-f]{6})-/;
const KILL_ROUNDS = 500;

/** The start time of a process in clock ticks since boot, '' when there is none. @param {number} pid */
function startOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/** @param {string} name */
const stateFile = (name) => join(STATE_DIRECTORY, `${name}.json`);

/**
 * Claims a fresh name and writes its state file.
 * @param {{ topology: string, hosts: string[], kept: boolean }} lab
 * @returns {LabRecord}
 */
export function register({ topology, hosts, kept }) {
  const name = `lw-${randomBytes(3).toString('hex')}`;
  const directory = join(tmpdir(), `latchway-${name}`);
  const owner = kept ? null : { pid: process.pid, started: startOf(process.pid) };
  const record = { name, topology, owner, directory, made: new Date().toISOString(), hosts };
  mkdirSync(directory, { recursive: true });
  writeState(record);
  return record;
}

/**
 * Writes a state file whole or not at all, since another process may be reading, or tidying the directory away.
 * @param {LabRecord} record
 */
function writeState(record, attempts = 5) {
  const file = stateFile(record.name);
  try {
    mkdirSync(STATE_DIRECTORY, { recursive: true });
    writeFileSync(`${file}.new`, `${JSON.stringify(record, null, 2)}\n`);
    renameSync(`${file}.new`, file);
  } catch (error) {
    if (attempts === 0) throw error;
    writeState(record, attempts - 1);
  }
}

/** @param {LabRecord} record */
export function isOwned({ owner }) {
  return owner === null || startOf(owner.pid) === owner.started;
}

/** Every lab with a state file. @returns {LabRecord[]} */
export function labs() {
  let files;
  try {
    files = readdirSync(STATE_DIRECTORY);
  } catch {
    return [];
  }
  return files.flatMap((file) => {
    if (!file.endsWith('.json')) return [];
    try {
      return [JSON.parse(readFileSync(join(STATE_DIRECTORY, file), 'utf8'))];
    } catch {
      return []; // its lab ended in between
    }
  });
}

/** @param {string} namespace */
function pidsIn(namespace) {
  const { stdout } = run(['ip', 'netns', 'pids', namespace], { check: false });
  return stdout.split('\n').filter(Boolean).map(Number);
}

/**
 * Ends every process inside the namespaces of a lab and removes them, its directory and its state file. Synchronous,
 * so that an exit handler can call it. Whatever is already gone is no fault.
 * @param {string} name
 */
export function remove(name) {
  const mine = namespaces().filter((namespace) => namespace.startsWith(`${name}-`));
  for (const namespace of mine) {
    for (let round = 0; round < KILL_ROUNDS; round++) {
      const pids = pidsIn(namespace).filter((pid) => pid !== process.pid);
      if (pids.length === 0) break;
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // ended by itself in between
        }
      }
      pause(5);
    }
  }
  for (const namespace of mine) removeJournal(namespace);
  // One by one: what another process removes at the same time is no fault.
  for (const namespace of mine) run(['ip', 'netns', 'del', namespace], { check: false });
  rmSync(join(tmpdir(), `latchway-${name}`), { recursive: true, force: true });
  rmSync(stateFile(name), { force: true });
  for (const directory of [STATE_DIRECTORY, JOURNAL_DIRECTORY]) {
    try {
      rmdirSync(directory);
    } catch {
      // not there, or in use
    }
  }
}

/** What a killed dispatcher noted about its namespace. @param {string} namespace */
function removeJournal(namespace) {
  try {
    const { ino } = statSync(`/run/netns/${namespace}`);
    rmSync(join(JOURNAL_DIRECTORY, `host-${ino}.json`), { force: true });
  } catch {
    // removed by somebody else in between
  }
}

/** Removes the labs that nobody owns any more, known by state file or only by name. @returns {string[]} their names */
export function sweep() {
  // Namespaces first: a lab that is being made meanwhile has its state file before its first namespace.
  const present = namespaces();
  const known = labs();
  const stale = known.filter((record) => !isOwned(record)).map((record) => record.name);
  const orphans = present
    .map((namespace) => NAME_PATTERN.exec(namespace)?.[1])
    .filter((name) => name !== undefined && !known.some((record) => record.name === name));
  const gone = [...new Set([...stale, ...orphans])].filter((name) => name !== undefined);
  for (const name of gone) remove(name);
  return gone;
}
