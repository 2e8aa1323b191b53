/**
 * Small readers of the configuration's own notations: durations ("15m"), port sets ("8000-8099", any), affinity
 * ("client/24"), and the nearest known word for a hint. Pure; each returns undefined (or a sentence) for bad text.
 */

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of "100ms", "2s", "15m" or "1h"; a whole number before the unit. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|m|h)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * UNIT_MS[match[2]!]!;
}

/** The shortest exact form: 900000 is "15m". */
export function formatDuration(ms: number): string {
  for (const unit of ['h', 'm', 's']) {
    if (ms >= UNIT_MS[unit]! && ms % UNIT_MS[unit]! === 0) return `${ms / UNIT_MS[unit]!}${unit}`;
  }
  return `${ms}ms`;
}

/** First and last port of a range, both inclusive. */
export type PortRange = readonly [first: number, last: number];

const ANY_PORT: PortRange = [1, 65_535];

/** Whether the range is every port there is. */
export function isAnyPort([first, last]: PortRange): boolean {
  return first === ANY_PORT[0] && last === ANY_PORT[1];
}

/** Reads 80, "80", "8000-8099" or "any". Ports are 1 to 65,535. */
export function parsePortRange(value: number | string): PortRange | undefined {
  if (value === 'any') return ANY_PORT;
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(value));
  if (match === null) return undefined;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  return first >= 1 && first <= last && last <= 65_535 ? [first, last] : undefined;
}

/** `80`, `8000-8099` or `any`. */
export function formatPortRange(range: PortRange): string {
  if (isAnyPort(range)) return 'any';
  const [first, last] = range;
  return first === last ? String(first) : `${first}-${last}`;
}

/** `80,443,8000-8099`. */
export function formatPorts(ranges: readonly PortRange[]): string {
  return ranges.map(formatPortRange).join(',');
}

export function rangesOverlap(a: PortRange, b: PortRange): boolean {
  return a[0] <= b[1] && b[0] <= a[1];
}

/** Of two neighbours in a sorted list that overlap, the later one; undefined when the list is clean. */
export function overlapWithin(ranges: readonly PortRange[]): PortRange | undefined {
  return ranges.find((range, index) => index > 0 && rangesOverlap(ranges[index - 1]!, range));
}

/**
 * The known word nearest to a mistyped one, by edit distance: at most a third of its letters may differ, two at most.
 * @returns undefined when none is near.
 */
export function nearestWord(word: string, known: readonly string[]): string | undefined {
  const limit = Math.min(2, Math.ceil(word.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of known) {
    if (Math.abs(candidate.length - word.length) > limit) continue;
    const distance = editDistance(word.toLowerCase(), candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Optimal string alignment distance: insert, delete, replace, swap neighbours (so "prot" is one from "port"). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, before[j - 2]! + 1);
      row.push(cost);
    }
    before = previous;
    previous = row;
  }
  return previous[b.length]!;
}

/** "a", "a or b", "a, b or c". */
export function listWords(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}
