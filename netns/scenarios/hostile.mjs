/**
 * `netns/scenarios/hostile`: what strangers, and who forges a dispatcher's address, send to d1 on the network between dispatchers, while
 * connections live on: datagrams, tunnelled packets, TCP connections to the port for copies.
 *
 *   accepted    nothing: each datagram raises one counter of refusal, each packet one of a drop, each connection one of a reason
 *   crashed     nothing: the same processes, peers up, tables equal
 *   memory      flat when all comes once more
 *   controls    the datagrams were taken when they were fresh; the tunnelled packet is taken from a dispatcher's address; who has the key gets
 *               the copy: it is the replay, the address and the key that decide
 */
import { pathToFileURL } from 'node:url';
import { waitFor } from '../host.mjs';
import { options } from '../tools/options.mjs';
import { drops, HostileLab, ONE, PEER, PORT, refusedDatagrams, STRANGER, VICTIM } from './hostile-lab.mjs';
import { BAD_TUNNELS, DATAGRAMS, syn, tunnelled, udp } from './hostile-packets.mjs';

/** @typedef {import('./verdict.mjs').Verdict} Verdict */

/** The heap grows in steps of 16 MiB; of a quarter of a million datagrams, 200 bytes each would show. */
const MAY_GROW_MIB = 48;
const RECEIVED = 'cluster-datagrams-received';
/** Who is refused by what comes, and why. */
const QUICK = /** @type {const} */ ([
  ['noise', 'not-ours'],
  ['unknown', 'stranger'],
  ['wrong-key', 'seal'],
  ['oversized', 'oversized'],
]);
/** Two that say nothing whole, and one that has the key and reads nothing. */
const HELD = ['silent', 'drip', 'slow-reader'];

class Hostile extends HostileLab {
  /** @param {readonly Buffer[]} recording @param {string} [again] before each claim */
  async sendDatagrams(recording, again = '') {
    for (const [source, address] of Object.entries({ stranger: STRANGER, "peer's address": PEER })) {
      for (const [kind, make] of Object.entries(DATAGRAMS)) {
        const packets = Array.from({ length: this.datagrams }, () =>
          udp(address, VICTIM, PORT, make(recording)),
        );
        const { counted, rises } = await this.sendCounted(packets, refusedDatagrams);
        this.verdict.claim(
          `${again}datagrams, ${kind}, ${source}: each is refused`,
          counted === packets.length,
          {
            sent: packets.length,
            ...rises,
          },
        );
      }
    }
  }

  async sendTunnelled() {
    const { host, port } = this.bed.services.talk(ONE);
    const inner = () => syn('203.0.113.7', host, port);
    const strangers = Array.from({ length: this.datagrams }, () => tunnelled(STRANGER, VICTIM, inner()));
    const { counted, rises } = await this.sendCounted(
      strangers,
      (counters) => counters['drop-tunnel-stranger'] ?? 0,
    );
    this.verdict.claim('tunnelled packets of a stranger: each is dropped', counted === strangers.length, {
      sent: strangers.length,
      flows: this.flowsOf('203.0.113.7'),
      ...rises,
    });
    for (const [kind, make] of Object.entries(BAD_TUNNELS)) {
      const packets = Array.from({ length: this.datagrams }, () => make(PEER, VICTIM, host));
      const bad = await this.sendCounted(packets, drops);
      this.verdict.claim(
        `tunnelled from a peer's address, ${kind}: each is dropped`,
        bad.counted === packets.length,
        {
          sent: packets.length,
          ...bad.rises,
        },
      );
    }
    this.verdict.claim('no flow was opened by any of it', this.flowsOf('203.0.113.') === 0, {
      flows: this.flowsOf('203.0.113.'),
    });
    await this.load.send('hub', [tunnelled(PEER, VICTIM, inner())]);
    await waitFor(() => this.flowsOf('203.0.113.7') === 1, {
      what: 'the flow of a tunnelled SYN',
      everyMs: 100,
    }).catch(() => {});
    const flows = this.flowsOf('203.0.113.7');
    this.verdict.claim("control: the same from a dispatcher's address is taken", flows === 1, { flows });
  }

  async callTcp() {
    const { verdict, calls } = this;
    const before = await this.refusedConnections();
    await this.callers('hub', 'silent', calls);
    const address = (await this.refusedConnections()).address - (before.address ?? 0);
    verdict.claim('connections of a stranger are closed at once', address === calls, { calls, address });
    const reader = await this.callers('d2', 'reader', 1);
    verdict.claim('control: who has the key gets the copy', reader.frames >= 2, reader);
    await this.callQuick();
    await this.holdOpen();
    const many = 300;
    const was = (await this.refusedConnections())['too-many'] ?? 0;
    await this.callers('d2', 'silent', many);
    const tooMany = ((await this.refusedConnections())['too-many'] ?? 0) - was;
    verdict.claim(
      'more connections than there is room for are closed',
      tooMany > 0 && (await this.explained()) === 3,
      {
        calls: many,
        tooMany,
      },
    );
  }

  /** Those who are refused by what they say. @param {string} [again] before each claim */
  async callQuick(again = '') {
    const { verdict, calls } = this;
    for (const [kind, why] of QUICK) {
      const was = (await this.refusedConnections())[why] ?? 0;
      const { opened, bytes } = await this.callers('d2', kind, calls);
      const refused = ((await this.refusedConnections())[why] ?? 0) - was;
      const figures = { calls, opened, [why]: refused, bytes };
      verdict.claim(
        `${again}callers at a peer's address, ${kind}: each is refused`,
        refused === calls,
        figures,
      );
    }
  }

  /** Connections that are held open; dispatchers go on asking each other meanwhile. */
  async holdOpen() {
    const { calls } = this;
    const was = await this.refusedConnections();
    const holding = Promise.all(HELD.map((kind) => this.callers('d2', kind, calls)));
    const answered = await this.explained();
    const held = await holding;
    const now = await this.refusedConnections();
    const [tooSlow = 0, silent = 0] = ['too-slow', 'silent'].map((why) => (now[why] ?? 0) - (was[why] ?? 0));
    this.verdict.claim(
      `callers at a peer's address, ${HELD.join(', ')}: each is given up`,
      tooSlow === 2 * calls && silent === calls && answered === 3,
      {
        calls,
        'too-slow': tooSlow,
        silent,
        longestMs: held.map(({ longestMs }) => longestMs),
        'dispatchers that answer meanwhile': answered,
      },
    );
  }

  async judge() {
    const { verdict, bed } = this;
    const talk = /** @type {import('../processes.mjs').LabProcess} */ (this.talk);
    const { round } = await talk.ask('report');
    /** @type {any} */
    let now;
    await waitFor(
      async () => {
        now = await talk.ask('report');
        return now.round >= round + 2 || now.broken > 0;
      },
      { what: 'all connections to go on', everyMs: 200 },
    );
    const { open, broken, wrongServer, resets } = now;
    verdict.claim(
      'the connections of clients lived on',
      open === this.connections && broken + wrongServer + resets === 0,
      { open, broken, wrongServer, resets },
    );
    // A peer that has just waited half a second for a processor is back in a moment.
    await bed.dispatchers.waitForPeers();
    const states = this.victim.json('peers').map((/** @type {any} */ peer) => peer.state);
    verdict.claim('d1 lives, and hears its peers', states.length === bed.dispatchers.names.length - 1, {
      states,
    });
    const differs = await bed.converge();
    verdict.claim('all tables say the same', differs === '', differs || 'equal');
    const shown = this.victim
      .cli('status')
      .stdout.split('\n')
      .find((line) => line.startsWith('refused'));
    verdict.claim('`status` says what was refused', shown !== undefined, shown ?? '');
  }

  async run() {
    await this.start();
    const first = await this.counters();
    const recording = await this.record();
    const now = await this.counters();
    this.verdict.claim(
      'control: what is replayed later was taken when it was fresh',
      now[RECEIVED] - first[RECEIVED] >= recording.length &&
        refusedDatagrams(now) === refusedDatagrams(first),
      { recorded: recording.length, refused: refusedDatagrams(now) - refusedDatagrams(first) },
    );
    await this.sendDatagrams(recording);
    await this.sendTunnelled();
    await this.callTcp();
    // The first of each kind had code compiled, and buffers grow to their size: what comes again may cost nothing.
    const before = this.residentMiB();
    await this.sendDatagrams(recording, 'once more: ');
    await this.callQuick('once more: ');
    await this.judge();
    const after = this.residentMiB();
    this.verdict.claim('memory is flat', after - before <= MAY_GROW_MIB, {
      beforeMiB: before,
      afterMiB: after,
    });
    return this.verdict;
  }
}

/**
 * @param {{ connections?: number, datagrams?: number, calls?: number, say?: (line: string) => void }} [given]
 * @returns {Promise<Verdict>}
 */
export async function hostile({ connections = 1000, datagrams = 20_000, calls = 50, say } = {}) {
  const scenario = new Hostile(connections, datagrams, calls, say);
  try {
    return await scenario.run();
  } finally {
    scenario.bed.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const given = options('Strangers on the network between dispatchers', {
    connections: 1000,
    datagrams: 20_000, // of each kind and source
    calls: 50, // TCP connections of each kind
  });
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const { broken, claims } = await hostile({ ...given, say });
  say(broken.length === 0 ? `\n${claims.length} claims hold` : `\nBROKEN: ${broken.join('\n  ')}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
