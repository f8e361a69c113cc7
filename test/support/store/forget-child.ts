import { openSqliteStore } from '../../../src/store/sqlite/index.js';

/* Forgets somebody in a store, for a test that kills it: `forget-child.js FILE NAME PSEUDONYM`. */
const [file, name, pseudonym] = process.argv.slice(2) as [string, string, string];
const store = await openSqliteStore({ file, clock: { now: Date.now } });
process.stdout.write('begun\n');
await store.forget({ name, pseudonym });
process.stdout.write('done\n');
await store.close();
