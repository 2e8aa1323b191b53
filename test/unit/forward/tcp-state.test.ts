/** The step of a flow entry, as a table: what a segment makes of each state. */
import { describe, expect, it } from 'vitest';
import {
  afterClientSegment,
  afterServerSegment,
  isLasting,
  packState,
} from '../../../src/forward/tcp-state.ts';
import {
  FLAG_CLIENT_ACKED as ACKED,
  FLAG_ASSURED as ASSURED,
  STATE_CLOSING as CLOSING,
  STATE_ESTABLISHED as ESTABLISHED,
  FLAG_FIN_CLIENT as FIN_C,
  FLAG_FIN_SERVER as FIN_S,
  STATE_OPENING as OPENING,
  FLAG_REPLIED as REPLIED,
} from '../../../src/table/flow-row.ts';
import { ACK, FIN, PSH, RST, SYN } from '../../support/path-packets.ts';

const BOTH = REPLIED | ACKED;

// State, flags, segment, state after, flags after.
const CLIENT: [number, number, number, number, number][] = [
  [OPENING, 0, SYN, OPENING, 0],
  [OPENING, 0, ACK, OPENING, ACKED],
  [OPENING, REPLIED, ACK, ESTABLISHED, BOTH],
  [OPENING, REPLIED, SYN, OPENING, REPLIED],
  [OPENING, REPLIED, SYN | ACK, OPENING, REPLIED],
  [OPENING, 0, RST, CLOSING, 0],
  [OPENING, 0, FIN, OPENING, FIN_C],
  [ESTABLISHED, BOTH, ACK | PSH, ESTABLISHED, BOTH],
  [ESTABLISHED, BOTH, SYN, ESTABLISHED, BOTH],
  [ESTABLISHED, BOTH, FIN | ACK, ESTABLISHED, BOTH | FIN_C],
  [ESTABLISHED, BOTH | FIN_S, FIN | ACK, CLOSING, BOTH | FIN_C | FIN_S],
  [ESTABLISHED, BOTH | FIN_S, ACK, ESTABLISHED, BOTH | FIN_S],
  [ESTABLISHED, BOTH | ASSURED, RST | ACK, CLOSING, REPLIED],
  [CLOSING, REPLIED, ACK, ESTABLISHED, BOTH],
  [CLOSING, REPLIED, RST, CLOSING, REPLIED],
  [CLOSING, 0, SYN, CLOSING, 0],
  [CLOSING, BOTH | FIN_C | FIN_S, ACK, CLOSING, BOTH | FIN_C | FIN_S],
];

const ONE_WAY: typeof CLIENT = [
  [OPENING, 0, ACK, ESTABLISHED, ACKED],
  [OPENING, 0, SYN, OPENING, 0],
  [ESTABLISHED, ACKED, FIN | ACK, CLOSING, ACKED | FIN_C],
  [OPENING, 0, FIN | ACK, CLOSING, ACKED | FIN_C],
  [ESTABLISHED, ACKED | ASSURED, RST, CLOSING, 0],
  [OPENING, ACKED, ACK, OPENING, ACKED],
  [CLOSING, ACKED | FIN_C, ACK, CLOSING, ACKED | FIN_C],
];

const SERVER: typeof CLIENT = [
  [OPENING, 0, SYN | ACK, OPENING, REPLIED],
  [OPENING, ACKED, SYN | ACK, ESTABLISHED, BOTH],
  [OPENING, 0, RST | ACK, CLOSING, REPLIED],
  [ESTABLISHED, BOTH, ACK, ESTABLISHED, BOTH | ASSURED],
  [ESTABLISHED, BOTH, SYN | ACK, ESTABLISHED, BOTH],
  [ESTABLISHED, BOTH | ASSURED, RST, CLOSING, REPLIED],
  [ESTABLISHED, BOTH, FIN | ACK, ESTABLISHED, BOTH | FIN_S | ASSURED],
  [ESTABLISHED, BOTH | FIN_C, FIN | ACK, CLOSING, BOTH | FIN_C | FIN_S],
  [CLOSING, REPLIED, ACK, OPENING, REPLIED],
  [CLOSING, BOTH | FIN_C | FIN_S, ACK, CLOSING, BOTH | FIN_C | FIN_S],
];

describe('tcp state', () => {
  it.each(CLIENT)('client: %d/%d and %d: %d/%d', (state, flags, segment, next, nextFlags) => {
    expect(afterClientSegment(state, flags, segment, false, true)).toBe(packState(next, nextFlags));
  });
  it.each(ONE_WAY)('client, one way: %d/%d and %d: %d/%d', (state, flags, segment, next, nextFlags) => {
    expect(afterClientSegment(state, flags, segment, true, false)).toBe(packState(next, nextFlags));
  });
  it.each(SERVER)('server: %d/%d and %d: %d/%d', (state, flags, segment, next, nextFlags) => {
    expect(afterServerSegment(state, flags, segment, false)).toBe(packState(next, nextFlags));
  });

  it('where the client may speak to others, a server that goes on had its ACK; a SYN-ACK shows nothing', () => {
    expect(afterServerSegment(OPENING, 0, ACK, true)).toBe(packState(ESTABLISHED, REPLIED));
    expect(afterServerSegment(OPENING, 0, ACK, false)).toBe(packState(OPENING, REPLIED));
    expect(afterServerSegment(OPENING, 0, SYN | ACK, true)).toBe(packState(OPENING, REPLIED));
    expect(afterServerSegment(OPENING, 0, RST, true)).toBe(packState(CLOSING, REPLIED));
  });

  it('one way, packets at two times establish and assure', () => {
    const after = afterClientSegment(OPENING, ACKED, ACK, true, true);
    expect(after).toBe(packState(ESTABLISHED, ACKED | ASSURED));
    expect([isLasting(1000, 2999), isLasting(1000, 3000), isLasting(1000, 999)]).toEqual([
      false,
      true,
      false,
    ]);
    expect(isLasting(0xffffffff, 1999)).toBe(true);
  });

  it('both FINs are final, for any later segment', () => {
    const back: number[] = [];
    for (let segment = 0; segment < 256; segment++) {
      const flags = BOTH | FIN_C | FIN_S;
      const states = [
        afterClientSegment(CLOSING, flags, segment, false, true),
        afterServerSegment(CLOSING, flags, segment, true),
        afterClientSegment(CLOSING, FIN_C | ACKED, segment, true, true),
      ];
      if (states.some((one) => one >>> 8 !== CLOSING)) back.push(segment);
    }
    expect(back).toEqual([]);
  });
});
