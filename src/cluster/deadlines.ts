/**
 * A binary heap of (time, what): the earliest first. Things that ended earlier stay until their time and mean nothing
 * then, so whoever pops looks at the thing itself before acting.
 */

export class Deadlines<Thing> {
  readonly times: number[] = [];
  readonly things: Thing[] = [];

  get size(): number {
    return this.times.length;
  }

  /** The earliest time, or Infinity. */
  get next(): number {
    return this.times.length === 0 ? Number.POSITIVE_INFINITY : this.times[0]!;
  }

  add(time: number, thing: Thing): void {
    const { times, things } = this;
    let at = times.length;
    times.push(time);
    things.push(thing);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (times[parent]! <= time) break;
      times[at] = times[parent]!;
      things[at] = things[parent]!;
      at = parent;
    }
    times[at] = time;
    things[at] = thing;
  }

  /** The thing whose time has come, or undefined. */
  pop(now: number): Thing | undefined {
    const { times, things } = this;
    if (times.length === 0 || times[0]! > now) return undefined;
    const first = things[0]!;
    const time = times.pop()!;
    const thing = things.pop()!;
    const size = times.length;
    if (size === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && times[child + 1]! < times[child]!) child++;
      if (times[child]! >= time) break;
      times[at] = times[child]!;
      things[at] = things[child]!;
      at = child;
    }
    times[at] = time;
    things[at] = thing;
    return first;
  }
}
