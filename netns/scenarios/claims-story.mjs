/**
 * One client's packets in a capture: which came to which dispatcher, which left for a server, which went through a tunnel, and what dispatchers said
 * about the client to each other; and all of it as text.
 */

/** @typedef {import('../recordings.mjs').Seen} Seen */
/** @typedef {import('../recordings.mjs').Said} Said */

/**
 * @typedef {object} ClientPacket
 * @property {number} at seconds since 1970
 * @property {string} host where it was seen
 * @property {string} flags as tcpdump has them
 * @property {number} port of the client
 * @property {string} to address that it goes to
 *
 * @typedef {ClientPacket & { through: string, holder: string }} Tunnelled from `through` to `holder`, by name
 *
 * @typedef {object} Told a record about the client, as it left
 * @property {number} at
 * @property {string} sender
 * @property {string} receiver
 * @property {string | undefined} stream
 * @property {Said} said
 */

const TCP = /^IP (\d[\d.]*):(\d+) > (\d[\d.]*):(\d+): Flags \[(\S+)\]/;
const TUNNEL = /^IP (\S+) > (\S+): (IP .*)$/;
const VIP_NETWORK = '192.0.2.';

/** A dispatcher by its address between dispatchers. @param {string} address */
const dispatcherAt = (address) => `d${address.split('.').at(-1)}`;

export class Story {
  /** @param {readonly Seen[]} seen in the order of time @param {string} client address */
  constructor(seen, client) {
    this.client = client;
    /** What concerns the client. */
    this.seen = seen.filter(
      ({ packet, records }) =>
        packet.includes(`IP ${client}:`) ||
        packet.includes(` > ${client}:`) ||
        records.some((one) => this.#isOf(one)),
    );
    /** What came to dispatchers for the VIP. @type {ClientPacket[]} */
    this.arrived = [];
    /** What dispatchers gave back for a server. @type {ClientPacket[]} */
    this.forwarded = [];
    /** What servers got. @type {ClientPacket[]} */
    this.served = [];
    /** What dispatchers sent to one another. @type {Tunnelled[]} */
    this.tunnelled = [];
    /** @type {Told[]} */
    this.told = [];
    for (const one of this.seen) this.#sort(one);
  }

  /** @param {Said} said */
  #isOf(said) {
    return said.client?.split(':')[0] === this.client;
  }

  /** @param {Seen} one */
  #sort({ at, where, packet, records, sender = '', receiver = '', stream }) {
    for (const said of records) {
      if (this.#isOf(said)) this.told.push({ at, sender, receiver, stream, said });
    }
    const [host = '', device] = where.split(' ');
    const [, through = '', holder = '', inner] = TUNNEL.exec(packet) ?? [];
    const [, from, port, to = '', , flags = ''] = TCP.exec(inner ?? packet) ?? [];
    if (from !== this.client) return;
    const found = { at, host, flags, port: Number(port), to };
    if (inner !== undefined) {
      this.tunnelled.push({ ...found, through: dispatcherAt(through), holder: dispatcherAt(holder) });
    } else if (device === 'to-router') this.served.push(found);
    else if (to.startsWith(VIP_NETWORK)) this.arrived.push(found);
    else this.forwarded.push(found);
  }

  /** Records of a type that left a dispatcher. @param {string} type @param {string} [sender] @returns {Told[]} */
  said(type, sender) {
    return this.told.filter(
      (one) => one.said.type === type && (sender === undefined || one.sender === sender),
    );
  }

  /** The records by which a dispatcher said which server it had selected. @param {string} sender */
  updates(sender) {
    return this.said('entry', sender).filter(
      (one) => one.stream === 'broadcast' && one.said.cause === 'selected',
    );
  }

  /**
   * A line for each packet, numbered, in the order of time, with the place in front. Locks and grants that say again what was said are counted instead.
   * @returns {string[]}
   */
  lines() {
    const first = this.seen[0]?.at ?? 0;
    /** @type {string[]} */
    const lines = [];
    /** @type {Set<string>} */
    const known = new Set();
    let again = 0;
    let number = 0;
    for (const { at, where, packet, records, sender, receiver, stream, sequence } of this.seen) {
      const about = records.filter((one) => this.#isOf(one));
      const key = `${where} ${packet} ${[...new Set(about.map((one) => `${one.type} ${one.number}`))]}`;
      if (about.some((one) => one.type === 'lock' || one.type === 'grant') && known.has(key)) {
        again++;
        continue;
      }
      known.add(key);
      if (again > 0) lines.push(`${' '.repeat(31)}(${again} datagrams say the same lock and grants again)`);
      again = 0;
      const says = [...new Set(about.map((one) => one.text))].join('; ');
      const to = stream === 'broadcast' ? 'all' : receiver;
      const tail = sender === undefined ? '' : `: ${sender} to ${to}, ${stream} ${sequence}: ${says}`;
      const time = ((at - first) * 1000).toFixed(1).padStart(7);
      lines.push(`${String(++number).padStart(3)} ${time} ms  ${where.padEnd(13)}  ${packet}${tail}`);
    }
    return lines;
  }
}

/** Whether there is one and each is so. @template T @param {readonly T[]} all @param {(one: T) => boolean} isSo */
export const everyOne = (all, isSo) => all.length > 0 && all.every(isSo);
