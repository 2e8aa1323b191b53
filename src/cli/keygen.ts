/** `latchway keygen`: a cluster key, 32 random bytes as hexadecimal digits. */
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { LatchwayError } from '../base/fault.ts';
import { newKeyFile, readKeyFile } from '../daemon/config/key-file.ts';
import { withExamples } from './options.ts';
import { print } from './output.ts';

interface KeygenOptions {
  readonly out?: string;
  readonly after?: string;
}

export function addKeygen(program: Command): void {
  const command = program
    .command('keygen')
    .description('print a new cluster key; copy the same one to every dispatcher')
    .option('--out <FILE>', 'write it to a new file that only you can read')
    .option('--after <FILE>', 'make one that takes the place of this key while the cluster runs')
    .action(({ out, after }: KeygenOptions) => {
      const text = newKeyFile(after === undefined ? undefined : readKeyFile(after));
      if (out === undefined) print(text);
      else write(out, text);
    });
  withExamples(command, [
    ['latchway keygen --out /etc/latchway/cluster.key', 'never replaces a key that is there'],
    ['latchway keygen --after cluster.key --out new.key', 'to change the key of a cluster without a break'],
    ['(umask 077; latchway keygen > cluster.key)', 'the same by hand'],
  ]);
}

function write(file: string, text: string): void {
  try {
    writeFileSync(file, `${text}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const detail = code === 'EEXIST' ? 'is there already: keys are not replaced' : message;
    throw new LatchwayError({ code: 'file', file, detail });
  }
}
