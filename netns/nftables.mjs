/**
 * Rule sets for a lab: what real gateways have (masquerade, `ct state invalid drop`), and DNAT by nftables, which
 * stands in for the dispatcher to prove a lab or to compare with.
 */

/**
 * @typedef {object} ServiceLike the part of a Latchway service that DNAT needs
 * @property {string} vip
 * @property {string} protocol
 * @property {(number | string)[]} ports
 * @property {Record<string, { address: string, port?: number }>} servers
 */

/** Hides what leaves towards the clients behind the gateway's address, as most NAT gateways do. */
export const MASQUERADE = `
table inet gateway_nat {
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "to-router" masquerade
  }
}
`;

/** Drops what conntrack cannot place; replies whose request it never saw are "invalid" to it. */
export const DROP_INVALID = `
table inet gateway_filter {
  chain forward {
    type filter hook forward priority filter
    ct state invalid counter drop
  }
}
`;

/**
 * Round robin DNAT for `nat` services: kernel conntrack in the place of a dispatcher.
 * @param {Record<string, ServiceLike>} services
 * @returns {string} a ruleset for `nft -f -`
 */
export function dnatRules(services) {
  const rules = Object.values(services).map((service) => {
    const family = service.vip.includes(':') ? 'ip6' : 'ip';
    const servers = Object.values(service.servers);
    const targets = servers.map(
      ({ address, port }, index) => `${index} : ${address} . ${port ?? service.ports[0]}`,
    );
    return (
      `    ${family} daddr ${service.vip} ${service.protocol} dport { ${service.ports.join(', ')} } ` +
      `dnat ${family} to numgen inc mod ${servers.length} map { ${targets.join(', ')} }`
    );
  });
  return `
table inet lab_dnat {
  chain prerouting {
    type nat hook prerouting priority dstnat
${rules.join('\n')}
  }
}
`;
}
