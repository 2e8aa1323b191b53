import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { matchesClient } from '../../../../src/daemon/control/control.ts';
import { parseFlowQuery, writeFlows } from '../../../../src/daemon/control/flows.ts';
import { parseAddress } from '../../../../src/wire/address.ts';
import { fakeTarget, flow } from '../../../support/control-target.ts';

const query = (text: string) => parseFlowQuery(new URLSearchParams(text));
const NO_FILTER = query('').filter;

describe('the query', () => {
  test('nothing asked for is everything, as one array', () => {
    expect(query('')).toEqual({
      filter: { service: undefined, server: undefined, state: undefined, client: undefined },
      limit: Number.POSITIVE_INFINITY,
      format: 'json',
      cluster: false,
    });
  });

  test('every key', () => {
    expect(query('service=web&server=s1&state=closing&limit=7&format=ndjson&cluster=true')).toEqual({
      filter: { service: 'web', server: 's1', state: 'closing', client: undefined },
      limit: 7,
      format: 'ndjson',
      cluster: true,
    });
  });

  test.each([
    ['limit=0', "limit must be a whole number from 1, not '0'"],
    ['limit=x', "limit must be a whole number from 1, not 'x'"],
    ['state=free', "state must be one of opening, established, closing, udp, session, not 'free'"],
    ['client=10.0.0.0/33', "client must be an address, address:port or a prefix, not '10.0.0.0/33'"],
    ['cluster=yes', "cluster must be true or false, not 'yes'"],
    ['format=xml', "format must be json or ndjson, not 'xml'"],
    ['sevrice=web', /^unknown parameter 'sevrice'/],
  ])('%s is refused', (text, message) => {
    expect(() => query(text)).toThrow(message);
  });

  test.each([
    ['198.51.100.7', '198.51.100.7', 1, true],
    ['198.51.100.7', '198.51.100.8', 1, false],
    ['198.51.100.7:80', '198.51.100.7', 80, true],
    ['198.51.100.7:80', '198.51.100.7', 81, false],
    ['198.51.100.77/24', '198.51.100.1', 9, true],
    ['198.51.100.0/24', '198.51.101.1', 9, false],
    ['200.0.0.0/5', '207.255.255.255', 9, true],
    ['0.0.0.0/0', '203.0.113.1', 9, true],
    ['0.0.0.0/0', '2001:db8::1', 9, false],
    ['2001:db8::/33', '2001:db8:7fff::1', 9, true],
    ['2001:db8::/33', '2001:db8:8000::1', 9, false],
    ['[2001:db8::1]:443', '2001:db8::1', 443, true],
    ['[2001:db8::1]:443', '2001:db8::1', 444, false],
    ['::/0', '2001:db8::1', 1, true],
  ])('client=%s and %s port %i: %s', (text, address, port, expected) => {
    const { client } = query(`client=${encodeURIComponent(text)}`).filter;
    const [a0, a1, a2, a3] = parseAddress(address)!.words;
    expect(matchesClient(client!, a0, a1, a2, a3, port)).toBe(expected);
  });
});

/** A reader that takes a chunk only when told to. */
class SlowReader extends Writable {
  readonly chunks: string[] = [];
  #waiting: (() => void) | undefined;
  #onChunk: (() => void) | undefined;

  constructor() {
    super({ highWaterMark: 1, decodeStrings: false });
  }

  override _write(chunk: string, _encoding: string, done: () => void): void {
    this.chunks.push(chunk);
    this.#waiting = done;
    this.#onChunk?.();
  }

  /** Resolves when chunk number `count` has been handed over. */
  async received(count: number): Promise<void> {
    while (this.chunks.length < count)
      await new Promise<void>((resolve) => {
        this.#onChunk = resolve;
      });
  }

  take(): void {
    const done = this.#waiting;
    this.#waiting = undefined;
    done?.();
  }
}

describe('the stream', () => {
  test('pulls a million flows only as fast as they are read', async () => {
    const target = fakeTarget(1_000_000);
    const reader = new SlowReader();
    const done = writeFlows(target.flows(NO_FILTER), { limit: 1_000_000, format: 'ndjson' }, reader);
    let read = 0;
    for (let chunk = 1; chunk <= 20; chunk++) {
      await reader.received(chunk);
      // Everything that left the table is in the chunks handed over: nothing else is waiting anywhere.
      read += reader.chunks.at(-1)!.split('\n').length - 1;
      await new Promise(setImmediate);
      expect(target.pulled()).toBe(read);
      expect(reader.chunks.at(-1)!.length).toBeLessThan(66_000);
      reader.take();
    }
    expect(read).toBeLessThan(20_000);
    reader.destroy();
    await done;
    await target.ended;
    expect(target.pulled()).toBeLessThan(20_000);
  });

  async function collect(count: number, limit: number, format: 'json' | 'ndjson'): Promise<string> {
    const chunks: string[] = [];
    const out = new Writable({
      decodeStrings: false,
      write: (chunk: string, _encoding, done) => {
        chunks.push(chunk);
        done();
      },
    });
    await writeFlows(fakeTarget(count).flows(NO_FILTER), { limit, format }, out);
    return chunks.join('');
  }

  test.each([0, 1, 2, 2000])('%i flows as an array', async (count) => {
    const text = await collect(count, Number.POSITIVE_INFINITY, 'json');
    expect(JSON.parse(text)).toEqual(Array.from({ length: count }, (_, index) => flow(index)));
    expect(text.split('\n')).toHaveLength(count + 3);
  });

  test('flows as lines, limited', async () => {
    const text = await collect(2000, 1500, 'ndjson');
    const lines = text.split('\n');
    expect(lines.pop()).toBe('');
    expect(lines.map((line) => JSON.parse(line))).toEqual(
      Array.from({ length: 1500 }, (_, index) => flow(index)),
    );
  });

  test('a limit ends the iteration', async () => {
    const target = fakeTarget(1000);
    const out = new Writable({ write: (_chunk, _encoding, done) => done() });
    await writeFlows(target.flows(NO_FILTER), { limit: 10, format: 'json' }, out);
    await target.ended;
    expect(target.pulled()).toBe(10);
  });
});
