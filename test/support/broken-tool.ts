/** A tool of the host that fails at one step and works at all others. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import type { Lab } from './lab.ts';

/**
 * Puts a script in front of a tool: it fails when its input matches, and is the real one otherwise.
 * @param pattern of `grep -E`, for what the tool is to do
 * @returns the environment in which it is found first
 */
export function brokenTool(lab: Lab, tool: string, pattern: string): { PATH: string } {
  const directory = lab.file('broken');
  mkdirSync(directory, { recursive: true });
  const real = lab.must('d1', 'which', tool).trim();
  const script = `#!/usr/bin/env bash
case " $* " in
  *" -c "*) exec ${real} "$@" ;;
  *" -batch "* | *" -f "*)
    input=$(cat)
    if grep -qE '${pattern}' <<<"$input"; then echo 'made to fail' >&2; exit 1; fi
    exec ${real} "$@" <<<"$input" ;;
  *)
    if grep -qE '${pattern}' <<<"$*"; then echo 'made to fail' >&2; exit 1; fi
    exec ${real} "$@" ;;
esac
`;
  writeFileSync(`${directory}/${tool}`, script);
  chmodSync(`${directory}/${tool}`, 0o755);
  return { PATH: `${directory}:${process.env['PATH']}` };
}
