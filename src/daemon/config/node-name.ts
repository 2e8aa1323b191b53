/** Names of dispatchers, services and servers: what they may look like, and which one a dispatcher has by default. */
import { hostname } from 'node:os';

export const NAME_PATTERN = /^[A-Za-z0-9._-]{1,64}$/;
export const NAME_RULE = 'must be a name of 1 to 64 letters, digits, dots, underscores and hyphens';

/** The name of a dispatcher that is given none: the host name. */
export function defaultNode(): string {
  return hostname() || 'localhost';
}
