/**
 * A real HTTP server that says who it is.
 *
 *   GET /            its name
 *   GET /bytes?n=N   N bytes of known content (content.mjs)
 *   PUT anything     reads the body, compares it with the known content, answers what it found as JSON
 *
 * Every answer carries the headers X-Server (its name) and X-Client (the client address that it saw).
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { ContentCheck, writeContent } from './content.mjs';
import { options } from './options.mjs';

const given = options('HTTP server for labs; several ports with commas', {
  name: 's1',
  port: '8080',
  host: '::',
});

/** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
function receive(request, response) {
  const check = new ContentCheck();
  const hash = createHash('sha256');
  request.on('data', (data) => {
    check.push(data);
    hash.update(data);
  });
  request.on('end', () => {
    const { bytes, firstDifference } = check;
    response.end(
      `${JSON.stringify({ server: given.name, bytes, firstDifference, sha256: hash.digest('hex') })}\n`,
    );
  });
}

/** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
function answer(request, response) {
  const url = new URL(request.url ?? '/', 'http://server');
  response.setHeader('X-Server', given.name);
  response.setHeader('X-Client', request.socket.remoteAddress ?? '');
  response.on('error', () => {});
  if (request.method === 'PUT') receive(request, response);
  else if (url.pathname === '/bytes') {
    const bytes = Number(url.searchParams.get('n') ?? 0);
    response.setHeader('Content-Length', bytes);
    writeContent(response, bytes);
  } else response.end(`${given.name}\n`);
}

/** @param {string} port @returns {Promise<void>} */
const listen = (port) =>
  new Promise((resolve) => {
    createServer(answer).listen({ port: Number(port), host: given.host, backlog: 4096 }, resolve);
  });

await Promise.all(given.port.split(',').map(listen));
process.stdout.write(`listening on ${given.port}\n`);
