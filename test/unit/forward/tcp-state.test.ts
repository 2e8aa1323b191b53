/** The step of a flow entry, as a table: what a segment makes of each state. */
import { describe, expect, it } from 'vitest';
import { afterClientSegment, afterServerSegment, packState } from '../../../src/forward/tcp-state.ts';
import {
  FLAG_CLIENT_ACKED as ACKED,
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
  [ESTABLISHED, BOTH, RST | ACK, CLOSING, BOTH],
  [CLOSING, BOTH, ACK, CLOSING, BOTH],
  [CLOSING, 0, SYN, CLOSING, 0],
  [CLOSING, BOTH | FIN_C | FIN_S, ACK, CLOSING, BOTH | FIN_C | FIN_S],
];

const ONE_WAY: typeof CLIENT = [
  [OPENING, 0, ACK, ESTABLISHED, ACKED],
  [OPENING, 0, SYN, OPENING, 0],
  [ESTABLISHED, ACKED, FIN | ACK, CLOSING, ACKED | FIN_C],
  [OPENING, 0, FIN | ACK, CLOSING, ACKED | FIN_C],
  [ESTABLISHED, ACKED, RST, CLOSING, ACKED],
];

const SERVER: typeof CLIENT = [
  [OPENING, 0, SYN | ACK, OPENING, REPLIED],
  [OPENING, ACKED, SYN | ACK, ESTABLISHED, BOTH],
  [OPENING, 0, RST | ACK, CLOSING, REPLIED],
  [ESTABLISHED, BOTH, ACK, ESTABLISHED, BOTH],
  [ESTABLISHED, 0, ACK, ESTABLISHED, REPLIED],
  [ESTABLISHED, BOTH, FIN | ACK, ESTABLISHED, BOTH | FIN_S],
  [ESTABLISHED, BOTH | FIN_C, FIN | ACK, CLOSING, BOTH | FIN_C | FIN_S],
  [CLOSING, BOTH, ACK, CLOSING, BOTH],
];

describe('tcp state', () => {
  it.each(CLIENT)('client: %d/%d and %d: %d/%d', (state, flags, segment, next, nextFlags) => {
    expect(afterClientSegment(state, flags, segment, false)).toBe(packState(next, nextFlags));
  });
  it.each(ONE_WAY)('client, one way: %d/%d and %d: %d/%d', (state, flags, segment, next, nextFlags) => {
    expect(afterClientSegment(state, flags, segment, true)).toBe(packState(next, nextFlags));
  });
  it.each(SERVER)('server: %d/%d and %d: %d/%d', (state, flags, segment, next, nextFlags) => {
    expect(afterServerSegment(state, flags, segment)).toBe(packState(next, nextFlags));
  });

  it('never goes back to an earlier state nor forgets a flag, for any segment', () => {
    const backward: number[][] = [];
    for (const state of [OPENING, ESTABLISHED, CLOSING]) {
      for (let flags = 0; flags < 16; flags++) {
        for (let segment = 0; segment < 256; segment++) {
          const after = [
            afterClientSegment(state, flags, segment, false),
            afterClientSegment(state, flags, segment, true),
            afterServerSegment(state, flags, segment),
          ];
          const kept = after.every((one) => one >>> 8 >= state && (one & flags) === flags);
          if (!kept || (after[2]! & REPLIED) === 0) backward.push([state, flags, segment, ...after]);
        }
      }
    }
    expect(backward).toEqual([]);
  });
});
