/** `latchway keygen`: a cluster key, 32 random bytes as hexadecimal digits. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { LatchwayError } from '../base/fault.ts';
import { CLUSTER_KEY_SIZE } from '../daemon/config/limits.ts';
import { withExamples } from './options.ts';
import { print } from './output.ts';

export function addKeygen(program: Command): void {
  const command = program
    .command('keygen')
    .description('print a new cluster key; copy the same one to every dispatcher')
    .option('--out <FILE>', 'write it to a new file that only you can read')
    .action(({ out }: { out?: string }) => {
      const key = randomBytes(CLUSTER_KEY_SIZE).toString('hex');
      if (out === undefined) print(key);
      else write(out, key);
    });
  withExamples(command, [
    ['latchway keygen --out /etc/latchway/cluster.key', 'never replaces a key that is there'],
    ['(umask 077; latchway keygen > cluster.key)', 'the same by hand'],
  ]);
}

function write(file: string, key: string): void {
  try {
    writeFileSync(file, `${key}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const detail = code === 'EEXIST' ? 'is there already: keys are not replaced' : message;
    throw new LatchwayError({ code: 'file', file, detail });
  }
}
