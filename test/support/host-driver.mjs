// @ts-nocheck: plain JavaScript on purpose, see below.
// Runs the host set-up inside a network namespace for the tests: one JSON request a line in, one JSON answer a line out.
// The library is TypeScript, which Node 20 does not run, so this imports the build (`npm run build` comes first), by
// names that the type checker does not follow; addresses travel as text.

import { createInterface } from 'node:readline';

const built = (path) => import(new URL(`../../dist/${path}`, import.meta.url).href);
const { HostSetup } = await built('daemon/host/apply.js');
const { checkHost } = await built('daemon/host/check.js');
const { cleanUpHost } = await built('daemon/host/cleanup.js');
const { configFaults, hostFaults } = await built('daemon/host/faults.js');
const { lookupEgress, watchEgress } = await built('daemon/host/routes.js');
const { parseAddress } = await built('wire/address.js');

const setups = new Map();
let changes = 0;
let watcher;

function inputOf(request) {
  const withAddress = (one) => ({ ...one, address: parseAddress(one.address) });
  return { ...request, vips: request.vips.map(withAddress), servers: request.servers.map(withAddress) };
}

function setup(request) {
  const options = request.options ?? {};
  const key = JSON.stringify(options);
  if (!setups.has(key)) setups.set(key, new HostSetup(options));
  return setups.get(key);
}

async function answer(request) {
  switch (request.verb) {
    case 'apply':
      return setup(request).apply(inputOf(request.input));
    case 'repair':
      return setup(request).repair();
    case 'stop':
      return setup(request).stop();
    case 'check':
      return checkHost(inputOf(request.input));
    case 'faults':
      return hostFaults(inputOf(request.input));
    case 'configFaults':
      return configFaults(inputOf(request.input));
    case 'cleanup':
      return cleanUpHost(request.device, request.options);
    case 'egress':
      return [...(await lookupEgress(request.addresses.map((text) => parseAddress(text)))).entries()];
    case 'watch':
      watcher = watchEgress(() => {
        changes += 1;
      });
      return true;
    case 'changes':
      return changes;
    case 'unwatch':
      return watcher.stop();
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  try {
    process.stdout.write(`${JSON.stringify({ value: (await answer(JSON.parse(line))) ?? null })}\n`);
  } catch (error) {
    process.stdout.write(
      `${JSON.stringify({ fault: error.fault ?? String(error), message: error.message })}\n`,
    );
  }
}
