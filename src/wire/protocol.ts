/** IP protocol and IPv6 next-header numbers that the wire layer knows (IANA protocol numbers, RFC 8200 section 4). */

export const PROTOCOL_HOP_BY_HOP = 0;
export const PROTOCOL_ICMP = 1;
/** IPv4 in IP (RFC 2003, RFC 2473). */
export const PROTOCOL_IPIP = 4;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
/** IPv6 in IP (RFC 4213, RFC 2473). */
export const PROTOCOL_IPV6 = 41;
export const PROTOCOL_ROUTING = 43;
export const PROTOCOL_FRAGMENT = 44;
export const PROTOCOL_AUTHENTICATION = 51;
export const PROTOCOL_ICMPV6 = 58;
export const PROTOCOL_DESTINATION_OPTIONS = 60;
