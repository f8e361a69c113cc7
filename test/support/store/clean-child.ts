import { v7 } from 'uuid';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';

/**
 * A process that does as an outbox does, until it is killed: `clean-child <file> <name>`. An event waits, one of the
 * name comes and goes, and the file is cleaned. It writes a line to standard output for each event that waits.
 */
const [, , file, name] = process.argv as [string, string, string, string];
const store = await openSqliteStore({ file, clock: { now: Date.now } });
for (;;) {
  const event = (stream: string) => ({
    id: v7(),
    type: 'Noted',
    at: Date.now(),
    by: 'system:test',
    data: { stream, pad: 'x'.repeat(2000) },
  });
  const waits = event('send-waits');
  await store.append('send-waits', [waits], 'any');
  process.stdout.write(`${waits.id}\n`);
  const { position } = await store.append(`send-${name}`, [event(`send-${name}`)], 'any');
  await store.remove([position]);
  await store.clean();
}
