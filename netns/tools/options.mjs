/**
 * The command lines of the tools: `--name value` pairs, each with a default that also says its type, and `--help`.
 */

/**
 * @template {Record<string, string | number | boolean>} T
 * @param {string} what one line: what the tool does
 * @param {T} defaults
 * @returns {{ [K in keyof T]: T[K] extends string ? string : T[K] extends number ? number : boolean }}
 */
export function options(what, defaults) {
  /** @type {Record<string, string | number | boolean>} */
  const values = { ...defaults };
  const words = process.argv.slice(2);
  for (let index = 0; index < words.length; index++) {
    const name = (words[index] ?? '').replace(/^--/, '');
    const fallback = values[name];
    if (name === 'help' || fallback === undefined) {
      const known = Object.entries(defaults).map(([key, value]) => `  --${key} ${JSON.stringify(value)}`);
      process.stderr.write(`${what}\nOptions with their defaults:\n${known.join('\n')}\n`);
      process.exit(name === 'help' ? 0 : 2);
    }
    if (typeof fallback === 'boolean') values[name] = true;
    else {
      const text = words[++index] ?? '';
      values[name] = typeof fallback === 'number' ? Number(text) : text;
    }
  }
  return /** @type {any} */ (values);
}

/**
 * Runs `task` for each number below `count`, at most `width` at a time.
 * @param {number} count
 * @param {number} width
 * @param {(index: number) => Promise<void>} task
 */
export async function inParallel(count, width, task) {
  let next = 0;
  const worker = async () => {
    while (next < count) await task(next++);
  };
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker));
}

/**
 * Counts one more under a key.
 * @param {Record<string, number>} counts
 * @param {string} key
 */
export function count(counts, key) {
  counts[key] = (counts[key] ?? 0) + 1;
}

/**
 * Answers `report` lines on standard input with a JSON line, and ends on `quit`.
 * @param {() => object} report
 * @param {Record<string, (argument: string) => void>} [commands]
 */
export function answerQuestions(report, commands = {}) {
  let rest = '';
  process.stdin.on('data', (data) => {
    const lines = (rest + data).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const [word = '', ...argument] = line.trim().split(' ');
      if (word === 'quit') process.exit(0);
      commands[word]?.(argument.join(' '));
      if (word !== '') process.stdout.write(`${JSON.stringify(report())}\n`);
    }
  });
}
