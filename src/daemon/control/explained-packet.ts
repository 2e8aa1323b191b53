/** The packet that `latchway explain` is asked about, as a person writes it. */
import { LatchwayError } from '../../base/fault.ts';
import { parseEndpoint } from '../../wire/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../wire/protocol.ts';
import type { ExplainedPacket } from '../member/answers.ts';

/**
 * Reads `tcp 198.51.100.7:40000 > 192.0.2.10:80`, with `ack` behind it for a TCP packet that opens nothing.
 * @throws LatchwayError usage
 */
export function parseExplained(text: string): ExplainedPacket {
  const match = /^\s*(tcp|udp)\s+(\S+)\s*>\s*(\S+?)(\s+(syn|ack))?\s*$/i.exec(text);
  const client = match === null ? undefined : parseEndpoint(match[2]!);
  const vip = match === null ? undefined : parseEndpoint(match[3]!);
  if (match === null || client === undefined || vip === undefined)
    throw usage(
      `'${text}' is no packet: write it as 'tcp 198.51.100.7:40000 > 192.0.2.10:80', IPv6 addresses in brackets; 'ack' at the end for one that opens nothing`,
    );
  if (client.address.family !== vip.address.family)
    throw usage(`'${text}' is no packet: its addresses are of two families`);
  const tcp = match[1]!.toLowerCase() === 'tcp';
  const word = match[5]?.toLowerCase();
  if (!tcp && word !== undefined) throw usage(`'${text}' is no packet: UDP has no ${word}`);
  return {
    protocol: tcp ? PROTOCOL_TCP : PROTOCOL_UDP,
    client: client.address.words,
    clientPort: client.port,
    vip: vip.address.words,
    vipPort: vip.port,
    opens: !tcp || word !== 'ack',
  };
}

function usage(detail: string): LatchwayError {
  return new LatchwayError({ code: 'usage', detail });
}
