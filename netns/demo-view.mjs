/**
 * The live view of the demo: what each dispatcher does while the connections run. On a terminal it stands and changes;
 * elsewhere a line a second tells how far it is.
 */
import { waitFor } from './host.mjs';

const EVERY_MS = 400;
const LINES_EVERY_MS = 1000;
const COLUMNS = /** @type {const} */ ([
  ['locks', 'lock-placed'],
  ['learnt', 'lock-learnt'],
  ['updates', 'update-sent'],
  ['tunnelled', 'tunnel-sent'],
  ['waited', 'waited'],
  ['requests', 'nat-request'],
  ['replies', 'nat-reply'],
]);

export class DemoView {
  #height = 0;
  #shown = 0;
  /** @type {NodeJS.Timeout | undefined} */
  #timer;
  /** A drawing that waits for answers. @type {Promise<void> | undefined} */
  #drawing;

  /**
   * @param {import('./dispatchers.mjs').Dispatchers} dispatchers
   * @param {import('./spraying.mjs').Spraying} spraying
   * @param {import('./processes.mjs').LabProcess} load web-load with `--live`
   * @param {number} requests
   */
  constructor(dispatchers, spraying, load, requests) {
    this.dispatchers = dispatchers;
    this.spraying = spraying;
    this.load = load;
    this.requests = requests;
  }

  /** Requests that were answered. */
  get #done() {
    const line = this.load.errorLines.at(-1);
    return line?.startsWith('{') ? JSON.parse(line) : { done: 0, broken: 0 };
  }

  start() {
    this.#timer = setInterval(() => {
      this.#drawing ??= this.#show().finally(() => {
        this.#drawing = undefined;
      });
    }, EVERY_MS);
  }

  async stop() {
    clearInterval(this.#timer);
    await this.#drawing;
    this.#shown = 0;
    await this.#show();
  }

  /** Something to be read above the view. @param {string} text */
  note(text) {
    this.#clear();
    process.stdout.write(`  ${this.#done.done} answered: ${text}\n`);
  }

  /** Waits for a share of the requests. @param {number} share */
  async reached(share) {
    await waitFor(() => this.#done.done >= share * this.requests || this.load.exit !== undefined, {
      what: `${share * this.requests} requests to be answered`,
      deadlineMs: 120_000,
      everyMs: 20,
    });
  }

  #clear() {
    if (this.#height > 0) process.stdout.write(`\x1b[${this.#height}A\x1b[J`);
    this.#height = 0;
  }

  async #show() {
    if (!process.stdout.isTTY) {
      if (performance.now() - this.#shown < LINES_EVERY_MS) return;
      this.#shown = performance.now();
    }
    const lines = await this.#lines();
    this.#clear();
    process.stdout.write(`${lines.join('\n')}\n`);
    if (process.stdout.isTTY) this.#height = lines.length;
  }

  async #lines() {
    const { done, broken } = this.#done;
    if (!process.stdout.isTTY)
      return [`  ${String(done).padStart(4)} of ${this.requests} answered, ${broken} broken`];
    const head = ['', ...COLUMNS.map(([title]) => title)].map((cell) => cell.padStart(10)).join('');
    const rows = this.dispatchers.names.map(async (name) => {
      const counters = await this.dispatchers.running.get(name)?.look('/counters');
      if (counters === undefined) return `${name.padStart(10)}  killed`;
      const cells = COLUMNS.map(([, counter]) => String(counters[counter] ?? 0).padStart(10));
      return `${name.padStart(10)}${cells.join('')}`;
    });
    return [`  ${done} of ${this.requests} answered, ${broken} broken`, head, ...(await Promise.all(rows))];
  }
}
