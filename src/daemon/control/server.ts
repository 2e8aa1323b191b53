/**
 * The control socket: HTTP/1.1 with JSON bodies on a Unix socket that only its owner may open.
 *
 *     GET   /status                    FullStatusView
 *     GET   /counters                  { name: number }
 *     GET   /servers                   ServerView[]
 *     GET   /flows?service=&server=&state=&client=&limit=&format=json|ndjson&cluster=true|false
 *     GET   /peers, /locks             PeerView[], LockView[]
 *     GET   /explain?packet=           ExplainView[]
 *     GET   /diff                      DiffView
 *     GET   /metrics                   Prometheus text
 *     PATCH /servers/SERVICE/SERVER    { "weight": 3 } or { "drain": true } or { "enable": true } -> ServerView
 *     POST  /reload                    ReloadView
 *
 * What is wrong is answered with { "error": one line } (and "faults" where a configuration has some): 400 for a request
 * that makes no sense, 404 and 405 for what is not there, 422 for what the daemon refuses.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { z } from 'zod';
import { MAX_WEIGHT } from '../../balance/generation.ts';
import { LatchwayError } from '../../base/fault.ts';
import type { Log } from '../log.ts';
import type { ServerChange } from '../pool/pool.ts';
import type { ControlTarget } from './control.ts';
import { parseFlowQuery, UNANSWERED_TRAILER, writeFlows } from './flows.ts';
import { listenControl } from './listen.ts';
import { createMetrics, type Metrics } from './metrics.ts';

/** Bytes of a request's body; the largest that makes sense has twenty. */
const MAX_BODY_SIZE = 4096;

/** Milliseconds that a client may take over its request. */
const REQUEST_TIMEOUT_MS = 10_000;

/** At one time: idle connections must not use up the descriptors that the daemon needs. */
const MAX_CONNECTIONS = 64;

export interface ControlServer {
  readonly socket: string;
  /** Ends all connections and removes the socket. */
  close(): Promise<void>;
}

/** A request that is refused with a status and one line. */
class Refusal extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Opens the control socket; its folder is made where it is missing.
 * @throws LatchwayError `daemon-running` when somebody answers there already, `file` when it cannot be made
 */
export async function startControl(socket: string, target: ControlTarget, log: Log): Promise<ControlServer> {
  const metrics = createMetrics(target);
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    answer(request, response, target, metrics).catch((error: unknown) => refuse(response, error, log));
  });
  server.on('clientError', (_error, connection) => {
    if (connection.writable)
      connection.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nnot an HTTP request\n');
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listenControl(server, socket);
  server.on('error', (error) => log.warn({ error: error.message }, 'a connection could not be taken'));
  return { socket, close: () => closeServer(server) };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  target: ControlTarget,
  metrics: Metrics,
): Promise<void> {
  const { path, params } = parseUrl(request.url ?? '/');
  const [top, ...rest] = path;
  const known: Readonly<Record<string, () => unknown>> = {
    'GET status': async () => ({ ...target.status(), cluster: await target.cluster() }),
    'GET counters': () => target.counters(),
    'GET servers': () => target.servers(),
    'GET peers': () => target.peers(),
    'GET locks': () => target.locks(),
    'GET diff': () => target.diff(),
    'GET explain': () => target.explain(params.get('packet') ?? ''),
    'POST reload': () => target.reload(),
    'PATCH servers': async () => target.setServer(rest[0]!, rest[1]!, await readChange(request)),
  };
  const method = request.method ?? 'GET';
  const key = `${method} ${top}`;
  const depth = key === 'PATCH servers' ? 2 : 0;
  if (key === 'GET flows' && rest.length === 0) return sendFlows(response, target, params);
  if (key === 'GET metrics' && rest.length === 0) return sendMetrics(response, metrics);
  const handler = rest.length === depth ? known[key] : undefined;
  if (handler === undefined) throw notThere(method, path, Object.keys(known));
  const allowed = key === 'GET explain' ? 'packet' : '';
  for (const name of params.keys()) {
    if (name !== allowed) throw new Refusal(400, `unknown parameter '${name}'`);
  }
  sendJson(response, 200, await handler());
}

function parseUrl(text: string): { path: string[]; params: URLSearchParams } {
  try {
    const url = new URL(text, 'http://latchway');
    return { path: url.pathname.slice(1).split('/').map(decodeURIComponent), params: url.searchParams };
  } catch {
    throw new Refusal(400, 'the path of the request cannot be read');
  }
}

function notThere(method: string, path: readonly string[], known: readonly string[]): Refusal {
  const all = [...known, 'GET flows', 'GET metrics'];
  const shown = path.join('/').slice(0, 80);
  const methods = all.filter((one) => one.endsWith(` ${path[0]}`)).map((one) => one.split(' ')[0]);
  if (methods.length > 0 && !methods.includes(method))
    return new Refusal(405, `${method} is not for /${shown}: use ${methods.join(' or ')}`);
  return new Refusal(
    404,
    `there is no /${shown}: known are ${[...new Set(all.map((one) => `/${one.split(' ')[1]}`))].join(', ')}`,
  );
}

const CHANGE: z.ZodType<ServerChange> = z.union([
  z.strictObject({ weight: z.int().min(0).max(MAX_WEIGHT) }),
  z.strictObject({ drain: z.literal(true) }),
  z.strictObject({ enable: z.literal(true) }),
]);
const CHANGE_RULE = `the body must be {"weight": 0 to ${MAX_WEIGHT}}, {"drain": true} or {"enable": true}`;

async function readChange(request: IncomingMessage): Promise<ServerChange> {
  let body = '';
  for await (const chunk of request.setEncoding('utf8')) {
    body += chunk as string;
    if (body.length > MAX_BODY_SIZE) throw new Refusal(413, `the body is longer than ${MAX_BODY_SIZE} bytes`);
  }
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new Refusal(400, 'the body is not JSON');
  }
  const change = CHANGE.safeParse(value);
  if (!change.success) throw new Refusal(400, CHANGE_RULE);
  return change.data;
}

async function sendFlows(
  response: ServerResponse,
  target: ControlTarget,
  params: URLSearchParams,
): Promise<void> {
  const query = parseFlowQuery(params);
  const type = query.format === 'json' ? 'application/json' : 'application/x-ndjson';
  if (!query.cluster) {
    const flows = target.flows(query.filter);
    response.writeHead(200, { 'content-type': type });
    return writeFlows(flows, query, response);
  }
  const list = target.clusterFlows(query.filter);
  response.writeHead(200, { 'content-type': type, trailer: UNANSWERED_TRAILER });
  await writeFlows(list.flows(), query, response, () =>
    response.addTrailers({ [UNANSWERED_TRAILER]: JSON.stringify(list.unanswered) }),
  );
}

async function sendMetrics(response: ServerResponse, metrics: Metrics): Promise<void> {
  const text = await metrics.text();
  response.writeHead(200, { 'content-type': metrics.contentType }).end(text);
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(`${JSON.stringify(value)}\n`);
}

/** Answers with what went wrong; an answer that has begun is cut, so that its reader sees that it is not whole. */
function refuse(response: ServerResponse, error: unknown, log: Log): void {
  const message = error instanceof Error ? error.message : String(error);
  if (response.headersSent) {
    log.error({ err: message }, 'an answer on the control socket was cut short');
    response.destroy();
  } else if (error instanceof Refusal) sendJson(response, error.status, { error: message });
  else if (error instanceof LatchwayError) {
    const { fault } = error;
    const faults = fault.code === 'config' ? { faults: fault.faults } : {};
    sendJson(response, fault.code === 'usage' ? 400 : 422, { error: message, ...faults });
  } else {
    log.error({ err: message }, 'a request on the control socket failed');
    sendJson(response, 500, { error: `internal error: ${message}` });
  }
}
