/** Memory for an empty dispatch table, and the random numbers that it is keyed with. */
import { randomInt } from 'node:crypto';
import { LatchwayError } from '../../base/fault.ts';
import { type TableBuffers, tableBytes } from '../../table/shared-table.ts';

/** 32 unpredictable bits. */
export function randomWord(): number {
  return randomInt(2 ** 32);
}

/** @throws LatchwayError daemon-refused when there is not enough memory */
export function createTable(capacity: number): TableBuffers {
  try {
    const memory = new SharedArrayBuffer(tableBytes(capacity));
    return { capacity, seed: [randomWord(), randomWord(), randomWord(), randomWord()], memory };
  } catch {
    const mebibytes = Math.ceil(tableBytes(capacity) / 2 ** 20);
    const detail = `table.capacity ${capacity} needs ${mebibytes} MiB of memory, which is not to be had`;
    throw new LatchwayError({ code: 'daemon-refused', detail });
  }
}
