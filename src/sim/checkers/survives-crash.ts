/**
 * What a dispatcher that died had told one that lives on is known by all in the end: the same server, or a younger
 * incarnation or generation (PROTOCOL.md, nothing is lost with a dispatcher). Datagrams and sessions under `announce` may have been announced twice:
 * the rank decides then.
 */

import type { Entry } from '../../cluster/entry.ts';
import { isEnded } from '../../cluster/entry.ts';
import { KIND_SESSION } from '../../cluster/session-key.ts';
import type { CheckedWorld, Checker } from '../checker.ts';
import type { SimulatedDispatcher } from '../dispatcher.ts';
import { SERVICE_UDP } from '../servers.ts';

export class SurvivesCrash implements Checker {
  readonly name = 'survives-crash';
  readonly told: Entry[] = [];

  crashed(dead: SimulatedDispatcher, others: readonly SimulatedDispatcher[]): void {
    const ready = others.filter((one) => one.node.core.context.ready);
    for (const entry of dead.store.entries.values()) {
      if (isEnded(entry)) continue;
      const same = ready.some(({ store }) => {
        const held = store.find(entry.key);
        return (
          held?.isn === entry.isn && held.server === entry.server && held.generation === entry.generation
        );
      });
      if (same) this.told.push(entry);
    }
  }

  finish(world: CheckedWorld): readonly string[] {
    // With a second crash the one that knew it may have died too, before it told a joiner.
    if (world.assumptionBroken || world.crashes > 1) return [];
    const faults: string[] = [];
    for (const { name, store } of world.dispatchers) {
      for (const entry of this.told) {
        const held = store.find(entry.key);
        const { service, kind } = entry.key;
        const twice = world.announces && (service === SERVICE_UDP || kind === KIND_SESSION);
        if (held === undefined) faults.push(`${name} lost ${entry.key.text}`);
        else if (
          !twice &&
          held.isn === entry.isn &&
          held.generation === entry.generation &&
          held.server !== entry.server
        )
          faults.push(`${entry.key.text} moved to server ${held.server} at ${name}`);
      }
    }
    return faults;
  }
}
