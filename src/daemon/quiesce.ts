/**
 * Waiting until servers have fallen silent, before a dispatcher stops.
 *
 * Nothing goes in any more that a server would answer (`Threads.quiesce`); what they still say is passed on. When the dispatcher's rules are gone,
 * the kernel would forward a reply with the server's own address, and the client's reset would end a good connection. Servers that send
 * without being asked do not fall silent: `--hold` is for those.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const STEP_MS = 20;
/** A reply that was lost is sent again after 200 ms at the earliest (TCP_RTO_MIN). */
const SILENCE_MS = 250;
const LIMIT_MS = 1500;

/**
 * @param replies how many replies passed so far
 * @returns whether there was silence before the time limit.
 */
export async function quiesced(replies: () => number): Promise<boolean> {
  const startedAt = performance.now();
  let before = replies();
  let silentSince = startedAt;
  while (performance.now() - startedAt < LIMIT_MS) {
    await sleep(STEP_MS);
    const now = replies();
    if (now !== before) silentSince = performance.now();
    else if (performance.now() - silentSince >= SILENCE_MS) return true;
    before = now;
  }
  return false;
}
