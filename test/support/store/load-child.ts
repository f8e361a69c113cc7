import { v7 } from 'uuid';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';

/**
 * A process that appends until it is killed: `load-child <file> [sequential|parallel] [count]`. It writes one
 * line to standard output for each append that was acknowledged: `ack <stream> <id> <id> ...`.
 */
const [, , file, mode = 'parallel', count = '1000000'] = process.argv;
const store = await openSqliteStore({ file: file!, clock: { now: Date.now } });
process.stdout.write('ready\n');
let left = Number(count);

async function appender(number: number): Promise<void> {
  for (let n = 0; left-- > 0; n++) {
    // Every third append has three events, and each says which of how many it is, so that half of one shows.
    const count = n % 3 === 0 ? 3 : 1;
    const events = Array.from({ length: count }, (_, part) => {
      const id = v7();
      const data = { mark: `mark:${id}`, part, count, pad: 'x'.repeat(200) };
      return { id, type: 'Loaded', at: Date.now(), by: 'system:test', data };
    });
    const stream = `load-${number}`;
    await store.append(stream, events, 'any');
    process.stdout.write(`ack ${stream} ${events.map(({ id }) => id).join(' ')}\n`);
  }
}

await Promise.all(Array.from({ length: mode === 'sequential' ? 1 : 32 }, (_, i) => appender(i)));
await store.close();
