/**
 * Digests of states: two lanes of 32 bits each (the mixing of MurmurHash3), and a set of them.
 *
 * Two states of a case are taken for one when all 64 bits agree; with ten million states the odds of ever doing that
 * wrongly are one in three hundred thousand.
 */

export class Digest {
  a = 0x2c9277b5;
  b = 0x5f356495;

  /** Mixes an integer in; anything beyond 32 bits is cut off. */
  add(value: number): void {
    let k = Math.imul(value | 0, 0xcc9e2d51);
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
    let { a, b } = this;
    a ^= k;
    this.a = (Math.imul((a << 13) | (a >>> 19), 5) + 0x6b64e653) | 0;
    let l = Math.imul(value ^ 0x7f4a7c15, 0x85ebca6b);
    l = Math.imul((l << 13) | (l >>> 19), 0xc2b2ae35);
    b ^= l;
    this.b = (Math.imul((b << 11) | (b >>> 21), 9) + 0x38495ab5) | 0;
  }

  text(text: string): void {
    for (let at = 0; at < text.length; at++) this.add(text.charCodeAt(at));
    this.add(text.length);
  }

  /** Mixes another in so that the order in which several are does not matter. */
  join(a: number, b: number): void {
    this.a = (this.a + finish(a)) | 0;
    this.b = (this.b + finish(b)) | 0;
  }
}

const digests = new Map<string, Digest>();

/** A digest that a text is mixed into; those of texts are kept, as a search meets few. */
export function digestOf(text: string): Digest {
  let known = digests.get(text);
  if (known === undefined) {
    known = new Digest();
    known.text(text);
    digests.set(text, known);
  }
  const digest = new Digest();
  digest.a = known.a;
  digest.b = known.b;
  return digest;
}

/** Spreads all bits: a sum of these is a digest of a set. */
export function finish(value: number): number {
  let x = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

/** A set of 64-bit digests in open addressing. */
export class DigestSet {
  size = 0;
  slots: Int32Array = new Int32Array(2 << 16);

  /** @returns whether it was not there. */
  add(a: number, b: number): boolean {
    // Zero marks a free slot.
    const low = a === 0 && b === 0 ? 1 : a;
    if (this.size * 3 > this.slots.length) this.grow();
    if (!put(this.slots, low, b)) return false;
    this.size++;
    return true;
  }

  grow(): void {
    const old = this.slots;
    this.slots = new Int32Array(old.length * 2);
    for (let at = 0; at < old.length; at += 2) {
      if (old[at] !== 0 || old[at + 1] !== 0) put(this.slots, old[at]!, old[at + 1]!);
    }
  }
}

function put(slots: Int32Array, a: number, b: number): boolean {
  const mask = (slots.length >> 1) - 1;
  for (let at = (a ^ Math.imul(b, 0x9e3779b1)) & mask; ; at = (at + 1) & mask) {
    const low = slots[2 * at]!;
    const high = slots[2 * at + 1]!;
    if (low === a && high === b) return false;
    if (low !== 0 || high !== 0) continue;
    slots[2 * at] = a;
    slots[2 * at + 1] = b;
    return true;
  }
}
