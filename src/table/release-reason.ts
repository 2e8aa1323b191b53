/** Why a row of the dispatch table was given back; told to `onRelease`. */
export const REASON_EXPIRED = 0;
/** Given up for a new flow, because the table was full. */
export const REASON_EVICTED = 1;
/** Its server or service is gone, or it moved. */
export const REASON_REMOVED = 2;
/** A SYN opened a new flow in its place. */
export const REASON_REOPENED = 3;
