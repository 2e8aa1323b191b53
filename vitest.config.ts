import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take a minute or more, the longest first: one that begins last is waited for by an idle CPU. */
const LONG = [
  'test/sim/simulation',
  'test/mutation/',
  'test/model/',
  'test/gateway/path-mtu',
  'test/gateway/',
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = LONG.findIndex((name) => moduleId.includes(name));
      return at < 0 ? LONG.length : at;
    };
    return (await super.sort(files)).sort((one, other) => rank(one) - rank(other));
  }
}

// Native addons built on NAN live in one process only: the pool is `forks`.
// The limits are there for what hangs: no test may take longer on a busy machine because of them.
export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'pure',
          include: ['test/{unit,property,contract,native,model,sim,mutation}/**/*.test.ts'],
          pool: 'forks',
          maxWorkers: 2,
          testTimeout: 600_000,
          hookTimeout: 600_000,
        },
      },
      // One dispatcher in a lab: what is judged is order and outcome, and most of the time is spent in waiting.
      {
        test: {
          name: 'gateway',
          include: ['test/gateway/**/*.test.ts'],
          pool: 'forks',
          maxWorkers: 2,
          testTimeout: 1_800_000,
          hookTimeout: 1_800_000,
          sequence: { groupOrder: 1 },
        },
      },
      // Several dispatchers, or a million flows: a lab that has the machine for itself.
      {
        test: {
          name: 'netns',
          include: ['test/netns/**/*.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 1_800_000,
          hookTimeout: 1_800_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
