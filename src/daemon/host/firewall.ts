/**
 * What this gateway's firewall does that touches traffic through the dispatcher. Reads only.
 *
 * Judged by the text of `nft list ruleset` and of `iptables-save`, whichever are there: an approximation that may warn
 * of a rule that never applies, but sees the three things that break balanced traffic without a trace.
 */

import { runTool } from './command.ts';
import { readAbilities } from './read.ts';

interface FirewallFinding {
  readonly masquerade: boolean;
  readonly invalidDrop: boolean;
  readonly forwardPolicyDrop: boolean;
}

/** Findings in the text of a ruleset (nft's or iptables-save's); tables of ours are skipped. */
export function judgeRuleset(text: string): FirewallFinding {
  const foreign = text.replace(/^table inet latchway_\w+ \{[\s\S]*?^\}/gm, '');
  return {
    masquerade: /\b(masquerade|snat)\b/i.test(foreign),
    invalidDrop:
      /ct state [^\n]*\binvalid\b[^\n]*\b(drop|reject)\b/.test(foreign) ||
      /--(ct)?state\s+\S*INVALID\S*.*-j (DROP|REJECT)/.test(foreign),
    forwardPolicyDrop: /hook forward [^\n]*policy drop/.test(foreign) || /^:FORWARD DROP/m.test(foreign),
  };
}

/** Warnings in sentences. */
export async function firewallWarnings(device: string): Promise<string[]> {
  const texts = await Promise.all([
    runTool('nft', ['list', 'ruleset']),
    runTool('iptables-save', []),
    runTool('ip6tables-save', []),
  ]);
  const found = judgeRuleset(texts.map((one) => one.stdout).join('\n'));
  const { nft, nftDenied, conntrack } = await readAbilities();
  if (nftDenied)
    return [
      'without root nftables does not say what it holds: whether the firewall breaks traffic is not known',
    ];
  const exempt = nft && conntrack;
  const outcome = exempt
    ? 'VIP and reply traffic is exempted from connection tracking (notrack) while the dispatcher runs, so ct rules see it as untracked'
    : 'and there is no nftables to exempt VIP and reply traffic: connections will break: install nftables';
  const warnings: string[] = [];
  if (found.masquerade) warnings.push(`the firewall rewrites addresses (masquerade or snat): ${outcome}`);
  if (found.invalidDrop) warnings.push(`the firewall drops 'ct state invalid': ${outcome}`);
  if (found.forwardPolicyDrop)
    warnings.push(
      `the firewall's forward chain drops by default: allow traffic in from and out to ${device}, untracked packets included`,
    );
  return warnings;
}
