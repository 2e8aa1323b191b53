/**
 * A build of the program with one fault put in, to show that a test would see it.
 *
 * The copy lies in a lab's directory and goes with it; packages and the addon are those of the real build.
 */
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { PROGRAM } from '../../netns/dispatcher.mjs';
import type { Lab } from './lab.ts';

/** One passage of a built file, which must occur exactly once, and what stands there instead. */
export interface Mutation {
  /** Path inside dist, such as `wire/virtio.js`. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** Makes the copy. @returns the path of its cli/main.js, for `startDispatcher`. */
export function buildMutant(lab: Lab, { file, from, to }: Mutation): string {
  const dist = dirname(dirname(PROGRAM));
  const project = dirname(dist);
  const copy = lab.file('mutant');
  mkdirSync(copy, { recursive: true });
  cpSync(dist, join(copy, 'dist'), { recursive: true });
  for (const shared of ['node_modules', 'native', 'package.json']) {
    symlinkSync(join(project, shared), join(copy, shared));
  }
  const path = join(copy, 'dist', file);
  const pieces = readFileSync(path, 'utf8').split(from);
  if (pieces.length !== 2) throw new Error(`${file} has ${pieces.length - 1} times: ${from}`);
  writeFileSync(path, pieces.join(to));
  return join(copy, 'dist', 'cli', 'main.js');
}
