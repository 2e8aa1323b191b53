/**
 * The cluster as the main thread has it: starts and answers copies and questions, and says in the log who comes and goes.
 */
import type { Log } from '../log.ts';
import type { MemberAddress, MemberSetup } from '../member/setup.ts';
import type { LoadedTable } from '../threads/messages.ts';
import type { ClusterMessage, Threads } from '../threads/threads.ts';
import { PeerLinks } from './peer-links.ts';

/** How often a dispatcher that waits for its cluster says so. */
const SAY_WAITING_MS = 3_000;

export class ClusterSide {
  readonly setup: MemberSetup;
  readonly links: PeerLinks;
  readonly #threads: Threads;
  readonly #log: Log;
  #copying = false;
  #becomeReady: (loaded: LoadedTable | undefined) => void = () => {};
  readonly #ready: Promise<LoadedTable | undefined>;

  constructor(options: { readonly setup: MemberSetup; readonly threads: Threads; readonly log: Log }) {
    this.setup = options.setup;
    this.#threads = options.threads;
    this.#log = options.log;
    this.links = new PeerLinks(options.setup, options.threads, options.log);
    this.#ready = new Promise((resolve) => {
      this.#becomeReady = resolve;
    });
  }

  /** @throws LatchwayError host-conflict */
  listen(): Promise<void> {
    return this.links.listen();
  }

  close(): Promise<void> {
    return this.links.close();
  }

  /** Resolves when this dispatcher knows the table of its cluster, or is told to stop. @returns what became of the saved table, where it was used */
  async ready(stopping: AbortSignal): Promise<LoadedTable | undefined> {
    const saying = setInterval(() => void this.#sayWaiting(), SAY_WAITING_MS);
    const stopped = new Promise<undefined>((resolve) => {
      if (stopping.aborted) resolve(undefined);
      else stopping.addEventListener('abort', () => resolve(undefined), { once: true });
    });
    try {
      return await Promise.race([this.#ready, stopped]);
    } finally {
      clearInterval(saying);
    }
  }

  /** What the dispatcher thread says. */
  heard(message: ClusterMessage): void {
    switch (message.type) {
      case 'cluster-ready':
        this.#becomeReady(message.loaded);
        break;
      case 'copy-request':
        void this.#copy(message.from);
        break;
      case 'peer': {
        const { kind, node } = message.change;
        const text = {
          'peer-up': 'dispatcher is up',
          'peer-down': 'dispatcher is silent',
          'peer-stopped': 'dispatcher has stopped',
        }[kind];
        this.#log[kind === 'peer-down' ? 'warn' : 'info']({ dispatcher: this.nameOf(node) }, text);
        break;
      }
    }
  }

  /** Dispatchers that are heard, and that do not run the configuration that is in force here. */
  async drifting(): Promise<readonly string[]> {
    const { cluster } = await this.#threads.ask({ what: 'cluster' });
    const { peers } = await this.#threads.ask({ what: 'peers' });
    return peers
      .filter(({ state }) => state === 'up' || state === 'one-way')
      .filter(({ configuration }) => configuration !== cluster.configuration)
      .map(({ node }) => this.nameOf(node));
  }

  /** Name of a node, or its number where the configuration does not know it. */
  nameOf(node: number): string {
    return this.#all().find((one) => one.node === node)?.name ?? `#${node}`;
  }

  #all(): readonly MemberAddress[] {
    return [this.setup.self, ...this.setup.peers];
  }

  async #copy(from: number): Promise<void> {
    // The protocol asks again when one has failed; two at a time would mix.
    if (this.#copying) return;
    this.#copying = true;
    try {
      await this.links.fetchCopy(from);
    } finally {
      this.#copying = false;
    }
  }

  async #sayWaiting(): Promise<void> {
    try {
      const { cluster } = await this.#threads.ask({ what: 'cluster' });
      const { peers } = await this.#threads.ask({ what: 'peers' });
      this.#log.info(
        {
          state: cluster.joining,
          peers: Object.fromEntries(peers.map((peer) => [this.nameOf(peer.node), peer.state])),
        },
        'not ready yet: waiting for the table of the cluster',
      );
    } catch {
      // It is stopping.
    }
  }
}
