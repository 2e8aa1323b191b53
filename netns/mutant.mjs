/**
 * A build of the program with one fault put in, to show that a test or a scenario would see it.
 *
 * The copy lies in a lab's directory and goes with it; packages and the addon are those of the real build.
 */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PROGRAM } from './dispatcher.mjs';

/**
 * One passage of a built file, which must occur exactly once, and what stands there instead.
 * @typedef {object} Mutation
 * @property {string} file path inside dist, such as `wire/virtio.js`
 * @property {string} from
 * @property {string} to
 */

/**
 * Makes the copy.
 * @param {import('./laboratory.mjs').Lab} lab
 * @param {...Mutation} mutations the one fault, in as many places as it takes
 * @returns {string} the path of its cli/main.js, for `startDispatcher`
 */
export function buildMutant(lab, ...mutations) {
  const dist = dirname(dirname(PROGRAM));
  const project = dirname(dist);
  const copy = lab.file('mutant');
  mkdirSync(copy, { recursive: true });
  cpSync(dist, join(copy, 'dist'), { recursive: true });
  for (const shared of ['node_modules', 'native', 'package.json']) {
    symlinkSync(join(project, shared), join(copy, shared));
  }
  for (const { file, from, to } of mutations) {
    const path = join(copy, 'dist', file);
    const pieces = readFileSync(path, 'utf8').split(from);
    if (pieces.length !== 2) throw new Error(`${file} has ${pieces.length - 1} times: ${from}`);
    writeFileSync(path, pieces.join(to));
  }
  return join(copy, 'dist', 'cli', 'main.js');
}
