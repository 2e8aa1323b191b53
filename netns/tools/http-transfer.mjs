/**
 * Downloads and uploads of known content, compared byte for byte at the receiving end. The last line is JSON:
 * { transfers, ok, bytes, byServer, faults }; exit 0 only if all came through whole.
 */
import { request } from 'node:http';
import { ContentCheck, writeContent } from './content.mjs';
import { count, inParallel, options } from './options.mjs';

const given = options('Transfers known content and compares it byte for byte', {
  url: 'http://192.0.2.10',
  download: 0, // bytes each
  upload: 0, // bytes each
  streams: 1, // at a time
  transfers: 1,
  from: '',
  timeout: 600_000,
});
const result = {
  transfers: 0,
  ok: 0,
  bytes: 0,
  byServer: /** @type {Record<string, number>} */ ({}),
  faults: /** @type {string[]} */ ([]),
};

/**
 * @param {'GET' | 'PUT'} method
 * @param {string} path
 * @param {number} bytes of the body to send
 * @param {(response: import('node:http').IncomingMessage) => void} receive
 */
function exchange(method, path, bytes, receive) {
  return new Promise((resolve, reject) => {
    const headers = method === 'PUT' ? { 'Content-Length': bytes } : {};
    const local = given.from === '' ? {} : { localAddress: given.from };
    const sent = request(given.url + path, { method, headers, agent: false, ...local });
    const timer = setTimeout(() => sent.destroy(new Error('timeout')), given.timeout);
    sent.on('response', (response) => {
      receive(response);
      response.on('end', resolve);
      response.on('error', reject);
    });
    sent.on('error', reject);
    sent.on('close', () => {
      clearTimeout(timer);
      reject(new Error('closed'));
    });
    if (method === 'PUT') writeContent(sent, bytes);
    else sent.end();
  });
}

/** @param {number} bytes expected @param {number} got @param {number} firstDifference @param {string} server */
function judge(bytes, got, firstDifference, server) {
  count(result.byServer, server);
  result.bytes += got;
  if (got === bytes && firstDifference < 0) result.ok++;
  else result.faults.push(`${server}: ${got} of ${bytes} bytes, first difference at ${firstDifference}`);
}

async function download() {
  const check = new ContentCheck();
  let server = '';
  await exchange('GET', `/bytes?n=${given.download}`, 0, (response) => {
    server = String(response.headers['x-server']);
    response.on('data', (data) => check.push(data));
  });
  judge(given.download, check.bytes, check.firstDifference, server);
}

async function upload() {
  let answer = '';
  await exchange('PUT', '/', given.upload, (response) => {
    response.on('data', (data) => {
      answer += data;
    });
  });
  const { bytes, firstDifference, server } = JSON.parse(answer);
  judge(given.upload, bytes, firstDifference, server);
}

for (const [bytes, transfer] of /** @type {const} */ ([
  [given.download, download],
  [given.upload, upload],
])) {
  if (bytes === 0) continue;
  result.transfers += given.transfers;
  await inParallel(given.transfers, given.streams, () =>
    transfer().catch((error) => {
      result.faults.push(`${transfer.name}: ${error.code ?? error.message}`);
    }),
  );
}
process.stdout.write(`${JSON.stringify(result)}\n`);
process.exitCode = result.ok === result.transfers ? 0 : 1;
