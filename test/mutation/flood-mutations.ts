/** Mutations of what keeps a session on its server in a flood, and of what was found with it. */

import type { SimulationOptions } from '../../src/sim/options.ts';
import type { Mutation } from './mutations.ts';

const LATE_FLOOD: Partial<SimulationOptions> = {
  floods: 2,
  crashes: 0,
  affinity: 'client',
  lock: 'auto',
  delayMs: [1, 60],
  confirmTimeoutMs: 200,
  loss: 0.3,
};

export const FLOOD_MUTATIONS: readonly Mutation[] = [
  {
    rule: 'must hold, flood',
    name: 'the scheduler selects in a flood',
    file: 'src/cluster/server-choice.ts',
    from: 'if (usable(hashed)) return hashed;',
    to: '',
    seed: 10,
    sim: { floods: 2, loss: 0.3, crashes: 2, restarts: false },
    checker: 'one-server',
  },
  {
    rule: 'must hold, flood',
    name: 'a grant does not say what the hash chose',
    file: 'src/cluster/locks.ts',
    from: 'hashed === NO_SERVER ? remembered : [byHash, ...remembered]',
    to: 'hashed === NO_SERVER || byHash.server > 0 ? remembered : remembered',
    seed: 186,
    sim: {
      floods: 2,
      crashes: 0,
      affinity: 'client',
      lock: 'confirm',
      delayMs: [1, 60],
      confirmTimeoutMs: 200,
    },
    checker: 'one-server',
  },
  {
    rule: 'must hold, flood',
    name: 'what somebody may have chosen for goes by hash',
    file: 'src/cluster/requests.ts',
    from: 'if (this.locks.isContested(claim.key)) return NO_SERVER;',
    to: '',
    seed: 240,
    sim: LATE_FLOOD,
    checker: 'one-server',
  },
  {
    rule: 'must hold, flood',
    name: 'who is dead must answer a question first',
    file: 'src/cluster/questions.ts',
    from: 'if (flooded && dead && question.about instanceof SessionKey)',
    to: 'if (flooded && dead && !(question.about instanceof SessionKey))',
    sim: { floods: 2, loss: 0.3, crashes: 2, restarts: false },
    checker: 'nothing-lost',
  },
  {
    rule: '12',
    name: 'an end that went by hash is not noted',
    file: 'src/cluster/early-notes.ts',
    from: 'return entry.openedAt <= note.at ? note.bits : 0;',
    to: 'return entry.openedAt < 0 ? note.bits : 0;',
    seed: 148,
    sim: LATE_FLOOD,
    checker: 'closed-stay-closed',
  },
  {
    rule: '9',
    name: 'a flow chooses for itself while its session moves',
    file: 'src/cluster/own-locks.ts',
    from: 'if (server !== lock.server && followsSession(claim, lock.queue[0])) {',
    to: 'if (server < 0 && followsSession(claim, lock.queue[0])) {',
    seed: 556,
    sim: LATE_FLOOD,
    checker: 'one-server',
  },
  {
    rule: '1',
    name: 'an unlock takes back what a later attempt intended',
    file: 'src/cluster/lock-state.ts',
    from: ' || isLater(one.attempt, attempt),',
    to: ',',
    model: 'an unlock of an earlier attempt',
  },
];
