/**
 * Opens UDP and raw sockets whose datagrams move in batches (`sendBatch`, `receiveBatch` of native.ts). They are not
 * node's: a thread that sits in a native wait polls and reads them itself.
 *
 * Raw sockets are not header-included: the kernel writes the outer IP header, chooses its source address and fragments
 * a packet that is too big for the path (DF stays clear), so that no one behind the tunnel learns of it (ip(7), raw(7)).
 */
import type { Address, Family } from '../wire/address.ts';
import { checkCall, errnoName, loadNative, opening, systemCallError } from './native.ts';

export interface SocketOptions {
  /** Sizes of the queues in the kernel; beyond the system's limit with CAP_NET_ADMIN, else cut to it. Default: the kernel's. */
  readonly receiveBytes?: number;
  readonly sendBytes?: number;
  /** TTL or hop limit of what is sent, 1 to 255. Default: the kernel's. */
  readonly ttl?: number;
  /** SO_MARK of what is sent, for policy rules. */
  readonly mark?: number;
  /** Interface that packets must come in by and go out by. */
  readonly device?: string;
  /** Local address and port to bind. The port counts for UDP only; 0 is the kernel's choice. */
  readonly local?: { readonly address: Address; readonly port: number };
}

/** A socket and what its verbs need to know of it. The thread that opened it owns the descriptor. */
export interface Socket {
  readonly fd: number;
  /** AF_ constant for `sendBatch`. */
  readonly domain: number;
}

/** A nonblocking UDP socket. @throws LatchwayError not-root, system-call */
export function openUdp(family: Family, options: SocketOptions): Socket {
  return openSocket(family, loadNative().socketConstants.SOCK_DGRAM, 0, options);
}

/**
 * A nonblocking raw socket that sends, and receives copies of, packets of one IP protocol. While it is open the kernel
 * does not answer such packets with "protocol unreachable". @throws LatchwayError not-root, system-call
 */
export function openRaw(family: Family, protocol: number, options: SocketOptions): Socket {
  return openSocket(family, loadNative().socketConstants.SOCK_RAW, protocol, options);
}

/** A multicast group on one link. */
export interface GroupLink {
  readonly group: Address;
  readonly device: string;
  /** Of the device. */
  readonly interfaceIndex: number;
}

/**
 * A nonblocking UDP socket that hears one multicast group on one link, and nothing else.
 * @throws LatchwayError not-root, system-call
 */
export function openGroup(
  { group, device, interfaceIndex }: GroupLink,
  port: number,
  receiveBytes: number,
): Socket {
  const native = loadNative();
  const is = native.socketConstants;
  // Bound to the device before the address: a link-local group means nothing without.
  const socket = openUdp(group.family, { local: { address: group, port }, device, receiveBytes });
  try {
    const [level, all] =
      group.family === 4 ? [is.IPPROTO_IP, is.IP_MULTICAST_ALL] : [is.IPPROTO_IPV6, is.IPV6_MULTICAST_ALL];
    checkCall('setsockopt MULTICAST_ALL', native.socketOption(socket.fd, level, all, 0));
    const words = Uint32Array.from(group.words);
    checkCall('joining the group', native.socketJoin(socket.fd, socket.domain, words, interfaceIndex));
  } catch (error) {
    native.close(socket.fd);
    throw error;
  }
  return socket;
}

/** What a UDP socket sends to groups stays on one link, and does not come back to its own host. @throws LatchwayError system-call */
export function sendGroupsBy({ fd, domain }: Socket, interfaceIndex: number): void {
  const native = loadNative();
  const is = native.socketConstants;
  const four = domain === is.AF_INET;
  const level = four ? is.IPPROTO_IP : is.IPPROTO_IPV6;
  const set = (call: string, name: number, value: number): void => {
    checkCall(`setsockopt ${call}`, native.socketOption(fd, level, name, value));
  };
  set('MULTICAST_TTL', four ? is.IP_MULTICAST_TTL : is.IPV6_MULTICAST_HOPS, 1);
  set('MULTICAST_LOOP', four ? is.IP_MULTICAST_LOOP : is.IPV6_MULTICAST_LOOP, 0);
  checkCall('setsockopt MULTICAST_IF', native.socketGroupInterface(fd, domain, interfaceIndex));
}

function openSocket(family: Family, type: number, protocol: number, options: SocketOptions): Socket {
  const native = loadNative();
  const { AF_INET, AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_V6ONLY } = native.socketConstants;
  const domain = family === 4 ? AF_INET : AF_INET6;
  const fd = opening(
    () => native.socketOpen(domain, type, protocol),
    (_call, errno) => (errnoName(errno) === 'EPERM' ? { code: 'not-root' } : undefined),
  );
  try {
    // Two sockets of one port, one a family; a raw socket refuses the option, being of one family anyway.
    if (family === 6 && type === SOCK_DGRAM) {
      checkCall('setsockopt IPV6_V6ONLY', native.socketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    }
    setOptions(fd, family, options);
    if (options.local !== undefined) {
      const { address, port } = options.local;
      checkCall('bind', native.socketBind(fd, domain, Uint32Array.from(address.words), port));
    }
  } catch (error) {
    native.close(fd);
    throw error;
  }
  return { fd, domain };
}

function setOptions(fd: number, family: Family, options: SocketOptions): void {
  const native = loadNative();
  const is = native.socketConstants;
  const set = (call: string, level: number, name: number, value: number): void => {
    checkCall(`setsockopt ${call}`, native.socketOption(fd, level, name, value));
  };
  if (family === 4) {
    set('IP_MTU_DISCOVER', is.IPPROTO_IP, is.IP_MTU_DISCOVER, is.IP_PMTUDISC_DONT);
    if (options.ttl !== undefined) set('IP_TTL', is.IPPROTO_IP, is.IP_TTL, options.ttl);
  } else {
    set('IPV6_MTU_DISCOVER', is.IPPROTO_IPV6, is.IPV6_MTU_DISCOVER, is.IPV6_PMTUDISC_DONT);
    if (options.ttl !== undefined)
      set('IPV6_UNICAST_HOPS', is.IPPROTO_IPV6, is.IPV6_UNICAST_HOPS, options.ttl);
  }
  if (options.mark !== undefined) set('SO_MARK', is.SOL_SOCKET, is.SO_MARK, options.mark);
  if (options.device !== undefined) checkCall('SO_BINDTODEVICE', native.socketDevice(fd, options.device));
  if (options.receiveBytes !== undefined) setQueue(fd, is.SO_RCVBUFFORCE, is.SO_RCVBUF, options.receiveBytes);
  if (options.sendBytes !== undefined) setQueue(fd, is.SO_SNDBUFFORCE, is.SO_SNDBUF, options.sendBytes);
}

function setQueue(fd: number, force: number, ask: number, size: number): void {
  const native = loadNative();
  const level = native.socketConstants.SOL_SOCKET;
  const forced = native.socketOption(fd, level, force, size);
  if (forced === 0) return;
  if (errnoName(-forced) !== 'EPERM') throw systemCallError('setsockopt SO_*BUFFORCE', -forced);
  checkCall('setsockopt SO_*BUF', native.socketOption(fd, level, ask, size));
}
