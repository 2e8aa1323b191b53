/** Whatever the bytes of a configuration file: a Config, or faults that each have a path, a line and one line of text. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LatchwayError } from '../../src/base/fault.ts';
import { type Config, parseConfig } from '../../src/daemon/config/config.ts';
import { FULL } from '../unit/daemon/config/sample.ts';

/** Parses; judges the faults when there are some. */
function judge(text: string): Config | undefined {
  try {
    return parseConfig(text, '/etc/latchway.yaml');
  } catch (error) {
    if (!(error instanceof LatchwayError) || error.fault.code !== 'config') throw error;
    const { faults } = error.fault;
    expect(faults.length).toBeGreaterThan(0);
    const lines = text.split(/\r\n|\n|\r/).length;
    for (const { path, line, message } of faults) {
      expect(path).not.toBe('');
      expect(message).toMatch(/^[^\n]+$/);
      expect(line).toBeGreaterThanOrEqual(1);
      expect(line).toBeLessThanOrEqual(lines);
    }
    return undefined;
  }
}

test('random bytes, read as text', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      judge(new TextDecoder().decode(bytes));
    }),
    { numRuns: 500 },
  );
});

const YAML_PIECES = [
  ...'[]{}:,-?&*!|>%@#"\'\n \t',
  'a',
  'services',
  ': ',
  '\n  ',
  '&a ',
  '*a',
  '<<: ',
  '---\n',
  '80',
  '~',
];

test('random YAML', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...YAML_PIECES), { maxLength: 60 }), (pieces) => {
      judge(pieces.join(''));
    }),
    { numRuns: 500 },
  );
});

test('a valid file with some of its characters changed', () => {
  const edit = fc.record({
    at: fc.nat(FULL.length - 1),
    remove: fc.nat(12),
    insert: fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom(...YAML_PIECES)),
  });
  let valid = 0;
  let faulty = 0;
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), (edits) => {
      let text = FULL;
      for (const { at, remove, insert } of edits) text = text.slice(0, at) + insert + text.slice(at + remove);
      if (judge(text) === undefined) faulty++;
      else valid++;
    }),
    { numRuns: 500 },
  );
  expect(Math.min(valid, faulty)).toBeGreaterThan(0);
});

/** A document in the right shape with any values: what zod and the comparisons must live with. */
const anyValue = fc.oneof(
  fc.constantFrom(
    null,
    true,
    '',
    'any',
    'tcp',
    'ipip',
    'client/24',
    '192.0.2.1',
    '2001:db8::1',
    '10s',
    80,
    0,
    -1,
    1e300,
    [],
    {},
  ),
  fc.jsonValue({ maxDepth: 2 }),
);
const KEYS = [
  'vip',
  'protocol',
  'ports',
  'mode',
  'scheduler',
  'affinity',
  'lock',
  'unknown',
  'on-server-down',
  'timeouts',
  'health',
];
const server = fc.dictionary(fc.constantFrom('address', 'port', 'weight', 'x'), anyValue, { maxKeys: 3 });
const service = fc
  .tuple(
    fc.dictionary(fc.constantFrom(...KEYS), anyValue),
    fc.oneof(
      anyValue,
      fc.dictionary(fc.string({ maxLength: 4 }), fc.oneof(server, anyValue), { maxKeys: 3 }),
    ),
  )
  .map(([keys, servers]) => ({ ...keys, servers }));
const document = fc.record(
  {
    services: fc.oneof(anyValue, fc.dictionary(fc.constantFrom('a', 'b', '__proto__', 'toString'), service)),
    cluster: fc.oneof(
      anyValue,
      fc.dictionary(fc.constantFrom('name', 'key-file', 'dispatchers', 'port'), anyValue),
    ),
    device: anyValue,
    table: anyValue,
    flood: anyValue,
    timeouts: fc.oneof(anyValue, fc.dictionary(fc.constantFrom('udp', 'client'), anyValue)),
    metrics: fc.oneof(anyValue, fc.record({ listen: anyValue })),
  },
  { requiredKeys: [] },
);

test('the right shape with any values', () => {
  fc.assert(
    // JSON is YAML.
    fc.property(document, (value) => {
      judge(JSON.stringify(value));
    }),
    { numRuns: 500 },
  );
});

// What a look at an object finds though nobody wrote it.
test.each(['valueOf', 'toString', 'constructor', '__proto__'])(
  'a dispatcher %s without an address',
  (name) => {
    expect(judge(JSON.stringify({ cluster: { dispatchers: { [name]: null } } }))).toBeUndefined();
  },
);
