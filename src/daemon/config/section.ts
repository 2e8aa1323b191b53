/**
 * Reading one map of a configuration file against a table of keys.
 *
 * A section is read key by key, not as one zod object: what is right in it stays usable, so that the checks which
 * compare keys run even when a neighbour is faulty, and a person sees every fault in one go.
 */
import type { z } from 'zod';
import type { ConfigPath, FaultList } from './document.ts';
import { NAME_PATTERN, NAME_RULE } from './node-name.ts';
import { nearestWord } from './units.ts';

type Section = Readonly<Record<string, z.ZodType>>;

/** What could be read of a section: a key with a fault is left out. */
export type Draft<S extends Section> = { readonly [Key in keyof S]?: z.output<S[Key]> };

/** The same with nothing left out: what a draft is when there were no faults. */
export type Complete<S extends Section> = { readonly [Key in keyof S]: z.output<S[Key]> };

export type RawMap = Readonly<Record<string, unknown>>;

/** The map at a path; undefined, with a fault, when it is something else. */
export function readMap(value: unknown, path: ConfigPath, list: FaultList): RawMap | undefined {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as RawMap;
  list.add(
    path,
    value === null ? 'is empty: give it a value or leave it out' : 'must be a map of keys and values',
  );
  return undefined;
}

/** Reads one section; an absent one is an empty one. Faults: not a map, unknown keys (with a hint), missing keys, and what each key's schema says. */
export function readSection<S extends Section>(
  value: unknown,
  path: ConfigPath,
  section: S,
  list: FaultList,
): Draft<S> {
  // Without a prototype: what every object has, such as `valueOf`, is nothing that was read.
  const draft: Record<string, unknown> = Object.create(null);
  const raw = value === undefined ? {} : readMap(value, path, list);
  if (raw === undefined) return draft as Draft<S>;
  const known = Object.keys(section);
  for (const key of Object.keys(raw)) {
    if (known.includes(key)) continue;
    const near = nearestWord(key, known);
    list.add(
      [...path, key],
      `unknown key: ${near === undefined ? `known are ${known.join(', ')}` : `did you mean '${near}'?`}`,
    );
  }
  for (const [key, schema] of Object.entries(section)) {
    const read = readKey(Object.hasOwn(raw, key) ? raw[key] : undefined, [...path, key], schema, list);
    if (read !== undefined) draft[key] = read;
  }
  return draft as Draft<S>;
}

function readKey(value: unknown, path: ConfigPath, schema: z.ZodType, list: FaultList): unknown {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  if (value === undefined) list.add(path, 'is missing');
  else if (value === null) list.add(path, 'is empty: give it a value or leave it out');
  else
    for (const issue of result.error.issues)
      list.add([...path, ...(issue.path as ConfigPath)], issue.message);
  return undefined;
}

/** The named entries of a map (services, servers, dispatchers); faults: not a map, bad names, fewer than one. */
export function readNamed(
  value: unknown,
  path: ConfigPath,
  list: FaultList,
): readonly (readonly [string, unknown])[] {
  if (value === undefined) {
    list.add(path, 'is missing');
    return [];
  }
  const raw = readMap(value, path, list);
  if (raw === undefined) return [];
  const entries = Object.entries(raw);
  if (entries.length === 0) list.add(path, 'is empty: it needs at least one entry');
  for (const [key] of entries) if (!NAME_PATTERN.test(key)) list.add([...path, key], NAME_RULE);
  return entries;
}
