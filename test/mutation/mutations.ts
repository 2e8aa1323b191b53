/**
 * The rules of src/cluster/PROTOCOL.md, each taken out of a copy of the sources: `from` is replaced by `to` in `file`, and at least
 * one of the named checks must fail then. `model` names a case of test/model, `sim` are options of the simulation.
 */

import type { SimulationOptions } from '../../src/sim/options.ts';
import { LATER_MUTATIONS } from './later-mutations.ts';
import { MORE_MUTATIONS } from './more-mutations.ts';

export interface Mutation {
  readonly rule: string;
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly model?: string;
  readonly sim?: Partial<SimulationOptions>;
  /** The first seed of the simulation, where it takes a rare one. */
  readonly seed?: number;
  /** The checker of the simulation that is to say so. */
  readonly checker?: string;
}

const RULES: readonly Mutation[] = [
  {
    rule: '1',
    name: 'the intention of a voided lock is forgotten',
    file: 'src/cluster/locks.ts',
    from: "count('locksVoided');\n    this.remember(lock, false);",
    to: "count('locksVoided');",
    model: 'crash after selection',
  },
  {
    rule: '1',
    name: 'a reported server is not adopted',
    file: 'src/cluster/own-locks.ts',
    from: 'if (adopted === NO_SERVER) {',
    to: 'if (adopted === NO_SERVER || adopted > 0) {',
    model: 'crash after selection, another locks',
  },
  {
    rule: '2',
    name: 'a granter locks all the same',
    file: 'src/cluster/requests.ts',
    from: "else if (lock?.kind === 'foreign') this.locks.meet(lock, waiting);\n    else {\n      const flow = waiting.packet.flow!;",
    to: 'else {\n      const flow = waiting.packet.flow!;',
    model: 'crash after selection',
  },
  {
    rule: '3',
    name: 'the first grant is enough',
    file: 'src/cluster/own-locks.ts',
    from: 'if (lock.pending.size > 0) return;\n    const adopted',
    to: 'if (lock.pending.size > 0 && lock.granted.size === 0) return;\n    const adopted',
    sim: {
      lock: 'confirm',
      dispatchers: 4,
      udpFlows: 16,
      crashes: 0,
      loss: 0,
      delayMs: [0.1, 10],
      partitions: 0,
      slowdowns: 0,
      floods: 0,
      serverDeaths: 0,
    },
    checker: 'one-server',
  },
  {
    rule: '4',
    name: 'a lock counts though its holder does not hear us',
    file: 'src/cluster/context.ts',
    from: 'return peer !== undefined && isLive(peer);',
    to: 'return peer?.up === true;',
    model: 'phantom lock',
  },
  {
    rule: '4',
    name: 'a refusal speaks for a third dispatcher',
    file: 'src/cluster/locks.ts',
    from: 'from, lock.holder)) return;',
    to: "from, lock.holder)) {\n      context.send(from, { type: 'refuse', attempt: record.attempt, lock: lock.record });\n      return;\n    }",
    model: 'three dispatchers race',
    sim: { lock: 'confirm', dispatchers: 4 },
  },
  {
    rule: '5',
    name: 'silence is a no',
    file: 'src/cluster/questions.ts',
    from: "this.room.dropAll(question.queue, 'question-unanswered');",
    to: 'for (const waiting of this.room.take(question.queue)) this.onDenied(waiting, question.reports);',
    model: 'silence taken for no',
  },
  {
    rule: 'attempt',
    name: 'a grant of any attempt counts',
    file: 'src/cluster/own-locks.ts',
    from: "if (lock?.kind !== 'own' || lock.attempt !== record.attempt) return this.context.count('recordsIgnored');\n    if (lock.reports",
    to: "if (lock?.kind !== 'own') return;\n    if (lock.reports",
    model: 'a stale grant, then a crash',
  },
  {
    rule: '6',
    name: 'no UNLOCK when an own lock ends empty',
    file: 'src/cluster/own-locks.ts',
    from: "this.locks.table.delete(key.text);\n    this.context.effects.push({ kind: 'broadcast', record: { type: 'unlock', key, attempt: lock.attempt } });",
    to: 'this.locks.table.delete(key.text);',
    model: 'unlock',
  },
  {
    rule: '7',
    name: 'a SYN on a closing entry is announced',
    file: 'src/cluster/requests.ts',
    from: "confirm: ended !== NO_ISN || policy.lock === 'confirm'",
    to: "confirm: policy.lock === 'confirm'",
    model: 'port reuse',
  },
  {
    rule: '7',
    name: 'an older incarnation does not give way',
    file: 'src/cluster/locks.ts',
    from: 'if (entry.isn !== record.isn && (entry.bits & BIT_TOMBSTONE) === 0) {',
    to: 'if (entry.isn === -2) {',
    model: 'port reuse',
  },
  {
    rule: '9',
    name: 'a session entry serves packets that open nothing',
    file: 'src/cluster/requests.ts',
    from: 'if (!packet.opens) {\n      this.unknown.look(waiting, flow);',
    to: 'if (!packet.opens && session === undefined) {\n      this.unknown.look(waiting, flow);',
    model: 'a session that moved captures',
  },
  {
    rule: '10',
    name: 'a rebinding is announced',
    file: 'src/cluster/requests.ts',
    from: 'generation: entry.generation + 1,\n      proposal: held?.server ?? NO_SERVER,\n      confirm: true,',
    to: 'generation: entry.generation + 1,\n      proposal: held?.server ?? NO_SERVER,\n      confirm: false,',
    model: 'double rebinding',
  },
  {
    rule: '11',
    name: 'a question is not looked at when its entry appears',
    file: 'src/cluster/core.ts',
    from: 'this.questions.entryAppeared(entry);',
    to: '',
    model: 'reply at who never',
    sim: {},
  },
  {
    rule: '12',
    name: 'FIN bits are not joined',
    file: 'src/cluster/entry.ts',
    from: 'const bits = settleBits(mine.bits | theirs.bits);',
    to: 'const bits = settleBits(mine.bits);',
    sim: { crashes: 0 },
    checker: 'closed-stay-closed',
  },
  {
    rule: '13',
    name: 'no tombstone',
    file: 'src/cluster/sweep.ts',
    from: 'else store.put({ ...entry, bits: entry.bits | BIT_TOMBSTONE, lastSeen: now }, undefined);',
    to: 'else store.remove(entry.key);',
    model: 'resurrection after expiry',
  },
  {
    rule: '16',
    name: 'a joiner does not ask for what its copy lacks',
    file: 'src/cluster/joining.ts',
    from: 'stream.require(sequenceIn(vector, peer), now);\n    }\n    return live',
    to: '}\n    return live',
    model: 'joiner misses one',
  },
  {
    rule: '16',
    name: 'a joiner is ready before the gaps are filled',
    file: 'src/cluster/joining.ts',
    from: 'if (member.stream.lacks(target.sequence)) return;',
    to: '',
    model: 'joiner before gaps',
  },
  {
    rule: '18',
    name: 'a taken reply tuple is not avoided',
    file: 'src/cluster/entries.ts',
    from: 'return holder !== undefined && !isEnded(holder) && holder.key.text !== key.text;',
    to: 'return holder === undefined && key.text === reply.text;',
    model: 'one client port',
  },
  {
    rule: 'incarnation',
    name: 'what was heard last is the younger incarnation',
    file: 'src/cluster/entry.ts',
    from: 'if (a.previousIsn === b.isn) return true;',
    to: 'if (a.isn !== b.isn) return true;',
    model: 'late close',
  },
  {
    rule: 'order of entries',
    name: 'the winner of a conflict tells nobody',
    file: 'src/cluster/entries.ts',
    from: "if (record.cause !== 'correction') this.tell(mine, 'changed');",
    to: '',
    model: 'conflict that stays',
  },
  {
    rule: 'order of entries',
    name: 'what was heard last wins a conflict',
    file: 'src/cluster/entry.ts',
    from: "if (order > 0) return { entry: theirs, outcome: conflict ? 'conflict-lost' : 'replaced' };",
    to: "if (order !== 0) return { entry: theirs, outcome: conflict ? 'conflict-lost' : 'replaced' };",
    model: 'conflict, both sides',
    sim: { partitions: 3 },
  },
  {
    rule: 'packet 5',
    name: 'nobody yields',
    file: 'src/cluster/locks.ts',
    from: 'if (outranks(context.seed, record.key.hash(context.seed), from, context.self)) {',
    to: 'if (record.attempt < 0) {',
    model: 'three dispatchers race',
  },
  {
    rule: 'packet 8',
    name: 'three tunnels are allowed',
    file: 'src/cluster/locks.ts',
    from: 'export const MAX_HOPS = 2;',
    to: 'export const MAX_HOPS = 3;',
    model: 'two hops',
    sim: { lock: 'confirm', dispatchers: 5, delayMs: [0.1, 20], udpFlows: 16 },
    checker: 'no-loops',
  },
];

export const MUTATIONS: readonly Mutation[] = [...RULES, ...MORE_MUTATIONS, ...LATER_MUTATIONS];
