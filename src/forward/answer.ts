/**
 * Packets that the dispatcher makes itself, all in the VIP's name: echo replies, resets, ICMP errors.
 *
 * Errors and resets are limited by rate, each kind by itself, as every host limits them (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 f); an echo reply is
 * its request, turned round, and costs no more than it. The source is never an address of this host: what comes from a device
 * with a local source is martian to the kernel.
 */
import { COUNTER } from '../base/counters.ts';
import {
  buildIcmpError,
  buildReset,
  ERROR_TIME_EXCEEDED,
  ERROR_TOO_BIG,
  mayAnswer,
  turnEcho,
} from '../wire/answer.ts';
import { NO_ROOM } from '../wire/batch.ts';
import { vnetClear } from '../wire/virtio.ts';
import { count, type PathState, transmit } from './path-state.ts';
import type { RateLimit } from './rate-limit.ts';

const ECHO_ANSWERED = COUNTER['echo-answered'];
const RESET_SENT = COUNTER['reset-sent'];
const TOO_BIG_SENT = COUNTER['too-big-sent'];
const TIME_EXCEEDED_SENT = COUNTER['time-exceeded-sent'];
const DROP_LIMITED = COUNTER['drop-limited'];

/** Answers echo request `index`. Allocates nothing, never throws. */
export function answerEcho(state: PathState, index: number): void {
  const { parsed } = state;
  if (!mayAnswer(parsed, index)) return count(state, DROP_LIMITED);
  turnEcho(state.view, state.batch.rxOffset[index]!, parsed.family[index]!, parsed.headerLength[index]!);
  transmit(state, index, ECHO_ANSWERED);
}

/** Answers TCP packet `index`, which is no reset itself, with a reset. Allocates nothing, never throws. */
export function answerReset(state: PathState, index: number): void {
  const to = allocAnswer(state, index, state.answers.reset);
  if (to === NO_ROOM) return;
  const length = buildReset(state.batch, to, state.batch.rxOffset[index]!, state.parsed, index);
  send(state, to, length, RESET_SENT);
}

/** Answers packet `index` with 'fragmentation needed' or 'packet too big'. @param mtuBytes what would have passed. */
export function answerTooBig(state: PathState, index: number, mtuBytes: number): void {
  const to = allocAnswer(state, index, state.answers.tooBig);
  if (to !== NO_ROOM) buildError(state, index, to, ERROR_TOO_BIG, mtuBytes, TOO_BIG_SENT);
}

/** Answers packet `index` with 'time exceeded'. Allocates nothing, never throws. */
export function answerTimeExceeded(state: PathState, index: number): void {
  const to = allocAnswer(state, index, state.answers.timeExceeded);
  if (to !== NO_ROOM) buildError(state, index, to, ERROR_TIME_EXCEEDED, 0, TIME_EXCEEDED_SENT);
}

function buildError(
  state: PathState,
  index: number,
  to: number,
  error: number,
  mtuBytes: number,
  verdict: number,
): void {
  const { batch, parsed } = state;
  send(state, to, buildIcmpError(batch, to, batch.rxOffset[index]!, parsed, index, error, mtuBytes), verdict);
}

/** @returns where the answer to packet `index` may be built, or NO_ROOM when there is none (counted). */
function allocAnswer(state: PathState, index: number, limit: RateLimit): number {
  const allowed = mayAnswer(state.parsed, index) && limit.take(state.now);
  const to = allowed ? state.batch.allocScratch() : NO_ROOM;
  if (to === NO_ROOM) count(state, DROP_LIMITED);
  return to;
}

function send(state: PathState, offset: number, length: number, verdict: number): void {
  vnetClear(state.view, offset);
  // Room for one answer to each packet is part of the list's size.
  state.batch.pushTx(offset, length);
  count(state, verdict);
}
