/**
 * The text of a configuration file as plain values that still know their lines.
 *
 * YAML 1.2 core schema, keys always strings; anchors and aliases work (a pool of servers used by two services),
 * merge keys do not. What YAML itself forbids is one fault (those after it are mostly its echo); keys given twice
 * are found here with their path. Invariant: never throws, whatever the bytes.
 */
import {
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  Parser,
  parseDocument,
} from 'yaml';
import type { ConfigFault } from '../../base/fault.ts';

/** Keys and indexes from the root: ['services', 'web', 'ports', 0]. */
export type ConfigPath = readonly (string | number)[];

/** Path of faults that belong to the text as a whole. */
const WHOLE_TEXT = 'yaml';

/** Collects faults; each gets the line of its path, or of the nearest parent that exists. */
export class FaultList {
  readonly faults: ConfigFault[] = [];
  readonly #lineOf: (path: ConfigPath) => number;

  constructor(lineOf: (path: ConfigPath) => number) {
    this.#lineOf = lineOf;
  }

  add(path: ConfigPath, message: string): void {
    this.addAt(path, this.#lineOf(path), message);
  }

  /** The same for a line that the path alone does not give (1-based). */
  addAt(path: ConfigPath, line: number, message: string): void {
    this.faults.push({ path: printable(formatPath(path)), line, message: printable(message) });
  }
}

export interface ConfigDocument {
  /** The whole file as plain values. */
  readonly root: unknown;
  /** Whether there are values at all; false only with a fault that says why. */
  readonly readable: boolean;
  readonly list: FaultList;
}

/** Parses the text; faults of the YAML itself are in `list`. */
export function readDocument(text: string): ConfigDocument {
  const lineCounter = new LineCounter();
  let document: Document.Parsed | undefined;
  const list = new FaultList((path) => (document === undefined ? 1 : lineAt(document, lineCounter, path)));
  if (isTooDeep(text)) {
    list.add([], `is nested more than ${MAX_DEPTH} levels deep`);
    return { root: undefined, readable: false, list };
  }
  try {
    document = parseDocument(text, {
      lineCounter,
      prettyErrors: false,
      uniqueKeys: false,
      stringKeys: true,
      logLevel: 'error',
    });
  } catch (error) {
    addThrown(list, error);
    return { root: undefined, readable: false, list };
  }
  const first = document.errors[0] ?? document.warnings[0];
  if (first !== undefined) {
    const line = lineCounter.linePos(first.pos[0]).line;
    list.addAt([], line, oneLine(first.message));
    return { root: undefined, readable: false, list };
  }
  try {
    checkKeys(document.contents, [], list, lineCounter);
    // Aliases share one value, so their number costs nothing; what is made of them is bounded by the schema's limits.
    return { root: document.toJS({ maxAliasCount: -1 }), readable: true, list };
  } catch (error) {
    addThrown(list, error);
    return { root: undefined, readable: false, list };
  }
}

/** An alias without its anchor, and whatever else the library throws: a fault for us. */
function addThrown(list: FaultList, error: unknown): void {
  list.addAt([], 1, oneLine(String((error as Error).message)));
}

/** Levels of nesting; a file that makes sense has six. */
const MAX_DEPTH = 64;

/**
 * Measures the nesting without recursion. The library composes nodes recursively, and an exhausted stack is no
 * exception there but the end of the process (V8 cannot compile a regular expression then).
 */
function isTooDeep(text: string): boolean {
  for (const token of new Parser().parse(text)) {
    const waiting: [token: CST.Token, depth: number][] = [[token, 0]];
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [current, depth] = next;
      if (depth > MAX_DEPTH) return true;
      if ('value' in current && current.value != null) waiting.push([current.value, depth + 1]);
      for (const { key, value } of 'items' in current ? current.items : []) {
        if (key != null) waiting.push([key, depth + 1]);
        if (value != null) waiting.push([value, depth + 1]);
      }
    }
  }
  return false;
}

function oneLine(message: string): string {
  return message.split('\n')[0]!.trim() || 'cannot be read';
}

/** Finds keys given twice, and the one key that plain objects cannot carry. Aliases are not followed. */
function checkKeys(node: unknown, path: ConfigPath, list: FaultList, lineCounter: LineCounter): void {
  if (isSeq(node)) {
    for (const [index, item] of node.items.entries()) checkKeys(item, [...path, index], list, lineCounter);
  }
  if (!isMap(node)) return;
  const seen = new Map<string, number>();
  for (const pair of node.items) {
    const key = String(isScalar(pair.key) ? pair.key.value : pair.key);
    const line = lineOf(pair.key as Node, lineCounter);
    const here = [...path, key];
    const before = seen.get(key);
    if (before !== undefined) {
      list.addAt(here, line, `is given twice, first in line ${before}`);
    } else if (key === '__proto__') {
      list.addAt(here, line, 'cannot be used as a name');
    }
    seen.set(key, before ?? line);
    checkKeys(pair.value, here, list, lineCounter);
  }
}

function lineOf(node: Node | null | undefined, lineCounter: LineCounter): number {
  return node?.range == null ? 1 : Math.max(1, lineCounter.linePos(node.range[0]).line);
}

/** Line of the key (or item) at a path; of its nearest parent where the path does not exist. */
function lineAt(document: Document.Parsed, lineCounter: LineCounter, path: ConfigPath): number {
  let node: unknown = document.contents;
  let line = 1;
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((one) => isScalar(one.key) && String(one.key.value) === String(step));
      if (pair === undefined) return line;
      line = lineOf(pair.key as Node, lineCounter);
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number' && step < node.items.length) {
      node = node.items[step];
      line = lineOf(node as Node, lineCounter);
    } else return line;
  }
  return line;
}

/** `services.web.ports[0]`; the root is `yaml`, an empty key `''`. */
function formatPath(path: ConfigPath): string {
  if (path.length === 0) return WHOLE_TEXT;
  return path
    .map((step, index) =>
      typeof step === 'number' ? `[${step}]` : `${index > 0 ? '.' : ''}${step === '' ? "''" : step}`,
    )
    .join('');
}

/** A fault is one line, whatever the file has in its strings. */
function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
