/** What the tests of the host set-up ask for: a DNS service, as the set-up takes it, alone and among many servers. */

export const VIP = '192.0.2.10';
export const VIP6 = { address: '2001:db8:f::10', service: 'dns6' };
export const SERVER = '10.2.0.2';
export const DNS = { address: SERVER, name: 'dns/s1', mode: 'nat', protocol: 17, ports: [[53, 53]] };
export const INPUT = { device: 'lw0', table: 7373, vips: [{ address: VIP, service: 'dns' }], servers: [DNS] };
/** Enough servers for the nftables set. */
export const MANY = {
  ...INPUT,
  servers: [DNS, ...Array.from({ length: 40 }, (_, index) => ({ ...DNS, address: `10.2.1.${index + 1}` }))],
};
