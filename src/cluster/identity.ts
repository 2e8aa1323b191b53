/**
 * Who is who: dispatchers by number, and the rank that decides between two of them.
 *
 * A dispatcher's number is 32 bits derived from its name, the same everywhere (`nodeId`). A rank is a keyed hash of
 * session and dispatcher (rendezvous hashing: Thaler, Ravishankar, IEEE/ACM Transactions on Networking 6(1), 1998);
 * no clock and no message takes part, so two dispatchers always agree on who outranks whom (packet rule 5 of PROTOCOL.md).
 * The seed comes from the cluster key: nobody outside can aim at a dispatcher.
 */

/** 32 bits, unsigned; 0 is nobody. */
export type NodeId = number;

export const NOBODY: NodeId = 0;

/** 64 bits that the whole cluster shares, derived from its key. */
export interface ClusterSeed {
  readonly low: number;
  readonly high: number;
}

/** Attempts and questions are numbered from 1 to here, and then from 1 again; the bit above marks questions. */
const LAST_NUMBER = 0x7fffffff;
/** Tells the number of a question from that of an attempt: an entry may answer either. */
export const QUESTION_BIT = 0x80000000;

export function numberAfter(number: number): number {
  return number >= LAST_NUMBER ? 1 : number + 1;
}

/** Whether attempt `a` was made after `b`, as long as less than half of all numbers lie between. */
export function isLater(a: number, b: number): boolean {
  return a !== b && ((a - b) & LAST_NUMBER) < LAST_NUMBER / 2;
}

/** One step of a multiply-xorshift mix (the finaliser of MurmurHash3) over a running value. Not for secrets. */
export function mix(value: number, word: number): number {
  let x = Math.imul(value ^ word, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** The number of a dispatcher, from its name in the configuration. Never NOBODY. */
export function nodeId(name: string): NodeId {
  let value = 0x9747b28c;
  for (let index = 0; index < name.length; index++)
    value = mix(value, name.charCodeAt(index) + index * 0x1003f);
  return value === NOBODY ? 1 : value;
}

/** Rank of a dispatcher for a key's hash; the larger outranks. */
export function rank(seed: ClusterSeed, keyHash: number, node: NodeId): number {
  return mix(mix(mix(seed.low, keyHash), node), seed.high);
}

/** Whether `a` outranks `b` for this key: a total order, equal ranks fall to the larger number. */
export function outranks(seed: ClusterSeed, keyHash: number, a: NodeId, b: NodeId): boolean {
  const rankA = rank(seed, keyHash, a);
  const rankB = rank(seed, keyHash, b);
  return rankA === rankB ? a > b : rankA > rankB;
}
