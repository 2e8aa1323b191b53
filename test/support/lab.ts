/**
 * Labs for tests: the library of netns/, with an end that no failure can skip.
 */
import { join } from 'node:path';
import { startCapture } from '../../netns/capture.mjs';
import { startDispatcher } from '../../netns/dispatcher.mjs';
import { waitFor } from '../../netns/host.mjs';
import { createLab, type Lab, type LabOptions, PROJECT } from '../../netns/laboratory.mjs';
import { CHECKSUM_ERRORS, parseSnmp, SNMP_FILES, type Snmp, snmpRise } from '../../netns/tools/snmp.mjs';

export type { Lab };
export { startCapture, startDispatcher, waitFor };

/** Builds a lab, hands it over, and removes it whatever happens. */
export async function withLab<T>(options: LabOptions, body: (lab: Lab) => Promise<T>): Promise<T> {
  const lab = createLab(options);
  try {
    return await body(lab);
  } finally {
    lab.close();
  }
}

/** The kernel's counters in the namespace of a host. */
export function readSnmp(lab: Lab, host: string): Snmp {
  return parseSnmp(lab.must(host, 'cat', ...SNMP_FILES));
}

/** Broken checksums that hosts have received since `before` was read, by host; empty when there were none. */
export function checksumErrors(lab: Lab, before: ReadonlyMap<string, Snmp>): Record<string, Snmp> {
  const found: Record<string, Snmp> = {};
  for (const [host, snmp] of before) {
    const rises = Object.entries(snmpRise(snmp, readSnmp(lab, host)));
    const broken = rises.filter(([name]) => CHECKSUM_ERRORS.includes(name));
    if (broken.length > 0) found[host] = Object.fromEntries(broken);
  }
  return found;
}

/** Reads the counters of several hosts, to compare with later. */
export function readAllSnmp(lab: Lab, hosts: readonly string[]): Map<string, Snmp> {
  return new Map(hosts.map((host) => [host, readSnmp(lab, host)]));
}

/** Starts one tool on every server, told its own name. */
export function startServers(lab: Lab, tool: string, parameters: readonly (string | number)[] = []) {
  return Promise.all(lab.servers.map((name) => lab.startTool(name, tool, ['--name', name, ...parameters])));
}

/** Starts the decapsulator of every server, for forwarding mode `ipip`. */
export function startDecapsulators(lab: Lab) {
  const command = [process.execPath, join(PROJECT, 'netns', 'decap.mjs')];
  return Promise.all(lab.servers.map((name) => lab.spawn(name, command, { ready: /^ready$/ })));
}

/**
 * Makes the dispatcher's way to the servers narrower than what client and servers believe: neither end's MSS can know.
 * Only towards the servers; what they send in larger packets does not fit the link and is lost.
 */
export function narrowServerSide(lab: Lab): void {
  lab.must('d1', 'ip', 'link', 'set', 'to-lan', 'mtu', '1500');
}
