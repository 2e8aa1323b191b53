/**
 * House rules that no linter knows: size of files, a module doc at the top of each, names of folders and things, and
 * words that have no place in the project.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const LINES_MAX = 300;
/** Tests are lists of cases: they may be longer before they hide anything. */
const TEST_LINES_MAX = 600;
const DOC_CHARACTERS_MIN = 30;

/** Tracked files and those that would be: what a commit could hold, ignored ones left out. */
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(ROOT, file)));
const code = files.filter((file) => /\.(ts|mjs|cc|h)$/.test(file));
const sources = code.filter((file) => file.startsWith('src/'));

const read = (file: string) => readFileSync(join(ROOT, file), 'utf8');

/** The files for which a rule finds something wrong, each with what. */
function offenders(among: readonly string[], rule: (file: string) => string | undefined): string[] {
  return among.flatMap((file) => {
    const wrong = rule(file);
    return wrong === undefined ? [] : [`${file}: ${wrong}`];
  });
}

function tooLong(text: string, limit: number): string | undefined {
  const lines = text.split('\n').length - 1;
  return lines > limit ? `${lines} lines, more than ${limit}` : undefined;
}

function undocumented(text: string): string | undefined {
  const doc = /^(#!.*\n)?\/\*\*([\s\S]*?)\*\//.exec(text)?.[2];
  if (doc === undefined) return 'does not begin with a module doc';
  return doc.trim().length < DOC_CHARACTERS_MIN ? 'its module doc says too little' : undefined;
}

// Written in pieces, so that this file does not offend itself.
const FORBIDDEN = [
  ['TO', 'DO'],
  ['FIX', 'ME'],
  ['@ts-', 'ignore'],
  ['registry.', 'npmjs'],
  ['/wo', 'rk/'],
].map((pieces) => pieces.join(''));

function forbidden(text: string): string | undefined {
  return FORBIDDEN.find((word) => text.includes(word));
}

test('there is something to check', () => {
  expect(sources.length).toBeGreaterThan(30);
});

test('no file is longer than 300 lines, no test than 600', () => {
  const limit = (file: string) => (file.startsWith('test/') ? TEST_LINES_MAX : LINES_MAX);
  expect(offenders(code, (file) => tooLong(read(file), limit(file)))).toEqual([]);
  expect(tooLong('x\n'.repeat(LINES_MAX + 1), LINES_MAX)).toMatch(/301 lines/);
});

test('each source file begins with a doc of what it is', () => {
  expect(offenders(sources, (file) => undocumented(read(file)))).toEqual([]);
  expect(undocumented('import x;')).toBeDefined();
  expect(undocumented('/** x */')).toBeDefined();
});

test('folders and things are named for what they are', () => {
  const vague = /^(utils?|types?|helpers?|common|misc|lib)$/;
  const vagueFolders = offenders(files, (file) =>
    dirname(file)
      .split('/')
      .find((part) => vague.test(part)),
  );
  expect(vagueFolders).toEqual([]);
  expect(
    offenders(sources, (file) => (/^[a-z0-9-]+\.ts$/.test(basename(file)) ? undefined : 'not kebab-case')),
  ).toEqual([]);
  const vagueNames = /\b(?:class|interface|type|function|const) (\w*(?:Manager|Helper|Utils?))\b/;
  expect(offenders(code, (file) => vagueNames.exec(read(file))?.[1])).toEqual([]);
});

test('no barrels: nothing is exported from somewhere else', () => {
  const barrel = (file: string) => /^export (?:\*|\{[^}]*\}) from .*$/m.exec(read(file))?.[0];
  expect(offenders(sources, barrel)).toEqual([]);
});

test('no forbidden words', () => {
  const text = files.filter((file) => !/package-lock\.json$|\.(pcap|png)$/.test(file));
  expect(offenders(text, (file) => forbidden(read(file)))).toEqual([]);
  for (const word of FORBIDDEN) expect(forbidden(`a ${word} b`)).toBe(word);
});
