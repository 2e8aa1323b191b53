/**
 * `netns/scenarios/claims`: what the claims 32 to 35, 37 and 38 of US patent 7,290,059 (expired) say of a cluster of dispatchers, each judged on the
 * packets of a capture: tcpdump at each dispatcher's device and on its way to the other dispatchers, and at each server.
 *
 *   32  a dispatcher looks a packet up in its own table: an entry sends it to its server, a client lock to the dispatcher that locked (and where
 *       neither is found it places a lock itself, which is what the control shows)
 *   33  the locking dispatcher selects a server and transmits to it what was sent to it under the lock
 *   34  it tells all other dispatchers: the update names the server and ends the lock
 *   35  a request for a connection that no entry is found for: the dispatcher places a client lock, in its own table and in that of all others
 *   37  a second packet of that client, at another dispatcher, while the lock stands, goes to the dispatcher that locked
 *   38  after the update, what the client sends goes to the selected server directly, from any dispatcher
 *
 * The words are ours. The public text at hand ended within claim 4; that 32 to 34 say of a program what 1 to 3 say of a method, and 35 and on
 * what 4 and on say, is a reading of it, and the six together are the whole way of a first packet.
 *
 * Each has a control in which its cause is missing and the capture must show something else.
 */
import { pathToFileURL } from 'node:url';
import { options } from '../tools/options.mjs';
import { Judge } from './claims-judge.mjs';
import { ClaimsLab } from './claims-lab.mjs';
import { Verdict } from './verdict.mjs';

export const CLAIMS = [32, 33, 34, 35, 37, 38];

/**
 * @param {{ say?: (line: string) => void }} [given]
 * @returns {Promise<Verdict>}
 */
export async function claims({ say = () => {} } = {}) {
  const lab = new ClaimsLab();
  const verdict = new Verdict(say);
  try {
    await lab.start();
    const story = await lab.story();
    const parallel = await lab.parallel();
    const cut = await lab.cut();
    const withheld = await lab.withheld();
    const judge = new Judge(await lab.stop(), verdict);
    judge.claim32(story, cut);
    judge.claim33(story);
    judge.claim34(story, withheld);
    judge.claim35(story, parallel);
    judge.claim37(parallel);
    judge.claim38(story, withheld);
    say('\nOne connection on the wire (tcpdump at each place, read by `latchway decode`)\n');
    for (const line of judge.story(story.client).lines()) say(line);
    return verdict;
  } finally {
    lab.close();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  options(
    'What six claims of US patent 7,290,059 say, seen in a capture of three dispatchers; half a minute',
    {},
  );
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const { broken, claims: all } = await claims({ say });
  say(broken.length === 0 ? `\n${all.length} claims hold` : `\nBROKEN: ${broken.join('\n  ')}`);
  process.exitCode = broken.length === 0 ? 0 : 1;
}
