/**
 * Judges what `netns/scenarios/claims` captured: each claim, and its control, on the packets that were seen and on what dispatchers told each other.
 *
 * Before and after are moments of the capture itself where it has them (the update leaves), else moments at which the scenario had seen a condition
 * hold, so that no claim hangs on how long anything took.
 */
import { CLIENT } from './claims-lab.mjs';
import { everyOne, Story } from './claims-story.mjs';

/** @typedef {import('../recordings.mjs').Seen} Seen */
/** @typedef {import('./claims-lab.mjs').ClaimsLab} ClaimsLab */
/** @typedef {import('./verdict.mjs').Verdict} Verdict */
/** @typedef {Awaited<ReturnType<ClaimsLab['story']>>} StoryRun */
/** @typedef {Awaited<ReturnType<ClaimsLab['parallel']>>} ParallelRun */
/** @typedef {Awaited<ReturnType<ClaimsLab['cut']>>} CutRun */
/** @typedef {Awaited<ReturnType<ClaimsLab['withheld']>>} WithheldRun */

const OTHERS = ['d2', 'd3'];

/** @param {readonly { at: number }[]} all */
const firstAt = (all) => all[0]?.at ?? Number.NaN;
/** @template {{ at: number }} T @param {readonly T[]} all @param {number} at */
const before = (all, at) => all.filter((one) => one.at < at);
/** @template {{ at: number }} T @param {readonly T[]} all @param {number} at */
const after = (all, at) => all.filter((one) => one.at > at);
/** @param {readonly string[]} names */
const unique = (names) => [...new Set(names)].sort();

export class Judge {
  /** @param {readonly Seen[]} seen @param {Verdict} verdict */
  constructor(seen, verdict) {
    this.seen = seen;
    this.verdict = verdict;
  }

  /** @param {string} client */
  story(client) {
    return new Story(this.seen, client);
  }

  /** @param {number} number @param {boolean} holds @param {object} figures */
  claim(number, holds, figures) {
    this.verdict.claim(`claim ${number}`, holds, figures);
  }

  /** @param {number} number @param {string} what @param {boolean} holds @param {object} figures */
  control(number, what, holds, figures) {
    this.verdict.claim(`control of claim ${number}: ${what}`, holds, figures);
  }

  /** @param {StoryRun} run @param {CutRun} cut */
  claim32(run, cut) {
    const story = this.story(run.client);
    const [update] = story.updates('d1');
    const updated = update?.at ?? Number.NaN;
    // Under the lock: what came to d2 went to d1, all of it, as it came.
    const atD2 = before(story.arrived, updated).filter((one) => one.host === 'd2');
    const toD1 = before(story.tunnelled, updated).filter(
      (one) => one.through === 'd2' && one.holder === 'd1',
    );
    // With an entry, once all have it: what came to a dispatcher left for the server from there.
    const later = after(story.arrived, run.known);
    const direct = later.filter((one) =>
      story.forwarded.some((out) => out.host === one.host && out.flags === one.flags && out.at >= one.at),
    );
    const holds =
      everyOne(atD2, (one) => toD1.some((sent) => sent.flags === one.flags && sent.at >= one.at)) &&
      atD2.length === toD1.length &&
      everyOne(later, (one) => direct.includes(one)) &&
      after(story.tunnelled, run.known).length === 0;
    this.claim(32, holds, {
      underTheLock: { cameToD2: atD2.length, tunnelledToD1: toD1.length },
      withAnEntry: { came: later.length, leftForTheServerFromThere: direct.length },
    });
    const alone = this.story(cut.client);
    const came = before(alone.arrived, cut.healed).filter((one) => one.host === 'd2').length;
    const sent = before(alone.tunnelled, cut.healed).length;
    const holders = unique(Object.values(cut.locks).flatMap((locks) => locks.map((lock) => lock.holder)));
    this.control(
      32,
      'network between dispatchers cut, so that d2 has no lock of d1: it tunnels nothing and locks for itself',
      came > 0 && sent === 0 && holders.join() === 'd1,d2',
      { cameToD2: came, tunnelled: sent, holders },
    );
  }

  /** @param {StoryRun} run */
  claim33(run) {
    const story = this.story(run.client);
    const opened = story.forwarded.filter((one) => one.flags === 'S');
    const syns = story.arrived.filter((one) => one.flags === 'S');
    const tunnelled = story.tunnelled.filter((one) => one.holder === 'd1');
    const servers = unique(story.served.map((one) => one.host));
    const got = story.served.filter((one) => one.flags === 'S').length;
    const holds =
      tunnelled.length > 0 &&
      everyOne(opened, (one) => one.host === 'd1') &&
      opened.length === syns.length &&
      got === opened.length &&
      servers.length === 1;
    this.claim(33, holds, {
      synsCame: syns.length,
      ofThemByTunnel: tunnelled.length,
      d1SentToServer: opened.length,
      got,
      servers,
    });
    const early = before([...story.forwarded, ...story.served], run.grants);
    const waiting = run.locks['d1']?.[0]?.waiting ?? 0;
    this.control(
      33,
      'while grants are kept from d1 it has not selected: nothing leaves for any server, what came waits',
      early.length === 0 && waiting > 0,
      { leftForServers: early.length, waiting },
    );
  }

  /** @param {StoryRun} run @param {WithheldRun} withheld */
  claim34(run, withheld) {
    const story = this.story(run.client);
    const updates = story.updates('d1');
    const [lock] = story.said('lock', 'd1');
    const servers = unique(story.served.map((one) => one.host));
    const told = unique(updates.map((one) => one.receiver));
    const named = unique(updates.map((one) => one.said.server ?? ''));
    const first = firstAt(story.forwarded);
    const holds =
      told.join() === OTHERS.join() &&
      everyOne(updates, (one) => one.said.number === lock?.said.number && one.at <= first) &&
      named.join() === servers.join();
    const text = updates[0]?.said.text;
    this.claim(34, holds, {
      told,
      named,
      servers,
      text,
      beforeTheFirstPacketMs: (first - firstAt(updates)) * 1000,
    });
    const kept = (withheld.locks['d2'] ?? []).map((one) => one.holder);
    const gone = [...(withheld.locks['d1'] ?? []), ...(withheld.locks['d3'] ?? [])].length === 0;
    const sent = before(this.story(withheld.client).updates('d1'), withheld.selected).length;
    this.control(
      34,
      'the update kept from d2 alone: the lock is over for d1 and d3, and stands for d2',
      sent > 0 && gone && kept.join() === 'd1',
      { updatesSent: sent, holderForD2: kept, goneElsewhere: gone },
    );
  }

  /** @param {StoryRun} run @param {ParallelRun} known */
  claim35(run, known) {
    const story = this.story(run.client);
    const [request] = story.arrived;
    const locks = story.said('lock');
    const told = unique(locks.map((one) => one.receiver));
    const holders = OTHERS.concat('d1').flatMap((name) => (run.locks[name] ?? []).map((lock) => lock.holder));
    const holds =
      request?.host === 'd1' &&
      request.flags === 'S' &&
      everyOne(locks, (one) => one.sender === 'd1' && one.at > request.at) &&
      told.join() === OTHERS.join() &&
      holders.join() === 'd1,d1,d1';
    this.claim(35, holds, { request, text: locks[0]?.said.text, told, holderForD1D2D3: holders });
    const other = this.story(known.client);
    const within = (/** @type {readonly { at: number }[]} */ all) =>
      before(after(all, known.known), known.knownDone);
    const opened = before(after(other.arrived, known.known), known.knownDone).filter(
      (one) => one.flags === 'S',
    );
    const placed = within(other.said('lock')).length;
    const direct = before(after(other.forwarded, known.known), known.knownDone).filter(
      (one) => one.flags === 'S',
    );
    this.control(
      35,
      'a request for a connection whose session has an entry: no lock, d3 forwards it at once, to the same server',
      opened.length > 0 &&
        placed === 0 &&
        everyOne(direct, (one) => one.host === 'd3') &&
        unique(known.servers).length === 1,
      { requests: opened.length, locks: placed, forwardedByD3: direct.length, servers: known.servers },
    );
  }

  /** @param {ParallelRun} run */
  claim37(run) {
    const story = this.story(run.client);
    const under = before(story.arrived, run.grants);
    const first = under.find((one) => one.host === 'd1');
    const second = under.filter((one) => one.host === 'd2' && one.port !== first?.port);
    const sent = story.tunnelled.filter((one) => second.some((packet) => packet.port === one.port));
    const servers = unique(story.served.map((one) => one.host));
    const holds =
      everyOne(second, (one) => one.flags === 'S') &&
      everyOne(second, (one) => sent.some((packet) => packet.port === one.port && packet.at >= one.at)) &&
      everyOne(sent, (one) => one.through === 'd2' && one.holder === 'd1') &&
      servers.length === 1;
    this.claim(37, holds, {
      firstConnection: `${run.client}:${first?.port} at d1`,
      secondConnection: `${run.client}:${second[0]?.port} at d2`,
      tunnelledToD1: sent.length,
      servers,
    });
    const stranger = this.story(CLIENT.stranger);
    const came = before(stranger.arrived, run.grants).filter((one) => one.host === 'd2').length;
    const tunnelled = before(stranger.tunnelled, run.grants).length;
    const holders = unique(before(stranger.said('lock'), run.grants).map((one) => one.sender));
    this.control(
      37,
      "another client's packet at d2 at the same time: the lock is not about it, d2 locks itself and tunnels nothing",
      came > 0 && tunnelled === 0 && holders.join() === 'd2',
      { cameToD2: came, tunnelled, holders },
    );
  }

  /** @param {StoryRun} run @param {WithheldRun} withheld */
  claim38(run, withheld) {
    const story = this.story(run.client);
    const later = after(story.arrived, run.known);
    const by = unique(after(story.forwarded, run.known).map((one) => one.host));
    const servers = unique(story.served.map((one) => one.host));
    const tunnelled = after(story.tunnelled, run.known).length;
    const holds =
      run.differs === '' &&
      later.length > 0 &&
      tunnelled === 0 &&
      by.join() === 'd1,d2,d3' &&
      servers.join() === run.server;
    this.claim(38, holds, {
      packets: later.length,
      forwardedBy: by,
      tunnelled,
      servers,
      answers: run.server,
    });
    const other = this.story(withheld.client);
    const still = after(other.tunnelled, withheld.selected);
    const direct = before(after(other.forwarded, withheld.selected), firstAt(still)).filter(
      (one) => one.host === 'd2',
    );
    this.control(
      38,
      'the update kept from d2: what comes to d2 still goes to d1 by the tunnel',
      everyOne(still, (one) => one.through === 'd2' && one.holder === 'd1') && direct.length === 0,
      { tunnelledAfterTheSelection: still.length, direct: direct.length, servers: withheld.servers },
    );
  }
}
