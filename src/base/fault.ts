/**
 * Faults: everything that a person can be told went wrong, as one discriminated union.
 *
 * A fault carries facts, not sentences; `describeFault` is the one place that puts them into words (one line: what
 * is wrong, and what to do). Callers match on `code`; a new code without a sentence does not compile. The packet
 * path never throws: there, what is wrong is a counter (see counters.ts).
 */

/** One thing that is wrong in a configuration file: where (`services.web.vip`), the line (1-based, 0 unknown), what. */
export interface ConfigFault {
  readonly path: string;
  readonly line: number;
  readonly message: string;
}

export type Fault =
  | { readonly code: 'system-call'; readonly call: string; readonly errno: number; readonly name: string }
  | { readonly code: 'native-missing'; readonly path: string; readonly detail: string }
  | { readonly code: 'config'; readonly file: string; readonly faults: readonly ConfigFault[] }
  | { readonly code: 'file'; readonly file: string; readonly detail: string }
  | { readonly code: 'usage'; readonly detail: string }
  | { readonly code: 'not-root' }
  | { readonly code: 'no-tun-device' }
  | { readonly code: 'device-taken'; readonly device: string }
  | {
      readonly code: 'vip-on-interface';
      readonly vip: string;
      readonly device: string;
      readonly service: string;
    }
  | { readonly code: 'server-not-routable'; readonly server: string; readonly address: string }
  | { readonly code: 'host-command'; readonly command: string; readonly detail: string }
  | { readonly code: 'host-conflict'; readonly what: string; readonly remedy: string }
  | { readonly code: 'unknown-node'; readonly node: string; readonly known: readonly string[] }
  | { readonly code: 'daemon-running'; readonly socket: string }
  | { readonly code: 'daemon-unreachable'; readonly socket: string; readonly detail: string }
  | { readonly code: 'daemon-refused'; readonly detail: string }
  | { readonly code: 'capture'; readonly detail: string }
  | { readonly code: 'thread-died'; readonly thread: string; readonly detail: string };

/** An error that a person is meant to read; `fault` is for programs. */
export class LatchwayError extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(describeFault(fault));
    this.name = 'LatchwayError';
    this.fault = fault;
  }
}

/** The sentence for a fault, one line (a `config` fault has one line per entry). */
export function describeFault(fault: Fault): string {
  switch (fault.code) {
    case 'system-call':
      return `${fault.call} failed: ${fault.name} (errno ${fault.errno})`;
    case 'native-missing':
      return `the native addon cannot be loaded from ${fault.path} (${fault.detail}): run 'npm ci' again; it needs g++, make and python3`;
    case 'config':
      return fault.faults
        .map((one) => `${one.path}: ${one.message}${one.line > 0 ? ` (${fault.file}:${one.line})` : ''}`)
        .join('\n');
    case 'file':
      return `${fault.file}: ${fault.detail}`;
    case 'usage':
      return fault.detail;
    case 'not-root':
      return 'needs root: it opens a TUN device and changes routes; run it with sudo, or with CAP_NET_ADMIN and CAP_NET_RAW';
    case 'no-tun-device':
      return '/dev/net/tun is not there: load the module (modprobe tun), or pass the device into the container';
    case 'device-taken':
      return `device ${fault.device}: the name is taken by a device that is not ours: choose another with 'device: { name: ... }'`;
    case 'vip-on-interface':
      return `services.${fault.service}.vip: ${fault.vip} is an address of interface ${fault.device}: remove it there (ip addr del ${fault.vip} dev ${fault.device}); the dispatcher attracts the VIP by a route`;
    case 'server-not-routable':
      return `${fault.server}: no route to ${fault.address}: add a route to it on this host`;
    case 'host-command':
      return `'${fault.command}' failed: ${fault.detail}`;
    case 'host-conflict':
      return `${fault.what}: ${fault.remedy}`;
    case 'unknown-node':
      return `cluster.dispatchers: no dispatcher is named '${fault.node}' (known: ${fault.known.join(', ')}): choose one with --node`;
    case 'daemon-running':
      return `a daemon answers on ${fault.socket} already: stop it first, or choose another --socket`;
    case 'daemon-unreachable':
      return `no daemon answers on ${fault.socket} (${fault.detail}): is 'latchway run' running? choose its socket with --socket`;
    case 'daemon-refused':
    case 'capture':
      return fault.detail;
    case 'thread-died':
      return `the ${fault.thread} thread ended unexpectedly: ${fault.detail}`;
  }
}
