import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { redacted } from '../src/store/kurrentdb/nodes.js';
import { storeContract } from './contract/store/suite.js';
import { realHarness, serverVersion } from './support/kurrentdb/real.js';

/*
 * Runs the store's contract against the KurrentDB at KURRENTDB_URL, and then the tests named by the arguments
 * (paths below `test`, without their endings), which find the same variable.
 *
 *   KURRENTDB_URL='kurrentdb://127.0.0.1:2113?tls=false' npm run test:kurrentdb
 */
const url = process.env.KURRENTDB_URL;
if (url === undefined || url === '') {
  process.stderr.write(
    "KURRENTDB_URL is not set. Set it to a server's URL, such as kurrentdb://127.0.0.1:2113?tls=false\n",
  );
  process.exit(2);
}

const version = await serverVersion(url);
process.stdout.write(`Running against KurrentDB ${version} at ${redacted(url)}\n`);
storeContract(`KurrentDB ${version}`, realHarness(url));

for (const name of process.argv.slice(2)) {
  await import(pathToFileURL(path.join(import.meta.dirname, `${name}.test.js`)).href);
}
