/** The digest of a world: two with one digest have the same future. */

import type { ModelCase } from './case.ts';
import { Digest, digestOf } from './digest.ts';
import { isScripted } from './reduction.ts';
import type { World } from './world.ts';

/** Whether the first instant is unlike later ones. */
function hasEarly(model: ModelCase): boolean {
  return isScripted(model) || model.packets.some((one) => one.early === true);
}

/** Two worlds with one digest have the same future. */
export function digestWorld(world: World): Digest {
  const digest = new Digest();
  for (let index = 0; index < world.cores.length; index++) {
    digest.add(index);
    if (!world.isAlive(index)) continue;
    const { a, b } = world.moment(index);
    digest.add(a);
    digest.add(b);
  }
  for (const [name, number] of world.numbers) {
    const part = digestOf(name);
    part.add(number);
    digest.join(part.a, part.b);
  }
  for (const { a, b } of world.messages) digest.join(a, b);
  for (const at of world.came) digest.join(at + 101, at + 103);
  for (const at of world.happened) digest.join(at + 1_009, at + 1_013);
  const asserted = world.excuse === undefined || !world.reduction.saw;
  for (const [text, servers] of asserted ? world.saw : []) {
    const part = digestOf(text);
    let mask = 0;
    for (const server of servers) mask |= 1 << server;
    part.add(mask);
    digest.join(part.a, part.b);
  }
  if (isScripted(world.model)) {
    for (const [handle, how] of world.ends) {
      const part = new Digest();
      part.add(handle);
      part.text(how);
      digest.join(part.a, part.b);
    }
  } else if (world.crashes === (world.model.crashes ?? 0)) {
    // One that waits nowhere was forgotten: that is looked at in the end.
    for (const [handle, how] of world.ends) if (how === 'wait') digest.join(handle + 10_007, handle);
  }
  digest.add(world.alive | (world.losses << 4) | (world.duplicates << 8) | (world.crashes << 12));
  digest.add(world.suspicions);
  digest.add(world.suspected);
  digest.add(world.unnoticed);
  digest.add(world.excuse === undefined ? 0 : 1);
  digest.add(world.now === 0 && hasEarly(world.model) ? 1 : 0);
  return digest;
}
