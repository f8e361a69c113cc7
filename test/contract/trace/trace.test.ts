import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import type { ActivityEvent, Source } from '../../../src/backtest/world.js';
import { TraceThread } from '../../../src/backtest/trace/thread.js';
import { LineReader, Trace } from '../../../src/backtest/trace/trace.js';
import { onceReadable } from '../../../src/import/postfix-log/index.js';
import type { LogFile } from '../../../src/import/postfix-log/index.js';
import { traceFile } from '../../support/backtest/traces.js';
import { shortOfDescriptors } from '../../support/short-of-descriptors.js';

const ADAPTERS: readonly (readonly [name: string, open: (file: LogFile) => Source])[] = [
  ['in the thread of the back-test', (file) => new Trace(file)],
  ['in a thread of its own', (file) => new TraceThread(file)],
];

const START = Date.UTC(2027, 0, 4);
const at = (second: number, more: object = {}): string =>
  JSON.stringify({
    time: new Date(START + second * 1000).toISOString(),
    account: 'anna@example.com',
    recipients: 1,
    ...more,
  });

const text = fc.oneof(
  fc.constantFrom('anna@example.com', 'Ben+x@example.com', 'zoë@exämple.com'),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
);
const message = fc.record(
  {
    account: text,
    returnPath: fc.oneof(text, fc.constant('')),
    ehlo: text,
    ip: fc.oneof(fc.ipV4(), fc.ipV6()),
    country: fc.constantFrom('FR', 'SE', 'JP', null),
    asn: fc.oneof(fc.integer({ min: 1, max: 2 ** 32 - 1 }), fc.constant(null)),
    recipients: fc.integer({ min: 1, max: 2 ** 31 }),
    size: fc.nat(Number.MAX_SAFE_INTEGER),
    recipientDomains: fc.array(text, { maxLength: 3 }),
    direction: fc.constantFrom('inbound', 'outbound'),
    entitled: fc.boolean(),
  },
  { requiredKeys: ['account', 'recipients'] },
);

async function all(source: Source): Promise<readonly ActivityEvent[]> {
  const activities: ActivityEvent[] = [];
  for await (const batch of source.batches()) activities.push(...batch.activities);
  return activities;
}

for (const [name, open] of ADAPTERS) {
  describe(`a trace that is parsed ${name}`, () => {
    test('is what its lines say one by one, in any chunks they come', async () => {
      const traces = fc.array(message, { minLength: 1, maxLength: 30 });
      await fc.assert(
        fc.asyncProperty(traces, fc.integer({ min: 1, max: 3000 }), async (messages, chunk) => {
          const lines = messages.map((each, index) => at(index, each));
          const reader = new LineReader('t');
          const expected = lines.map((line) => reader.read(line)!);
          assert.deepEqual(await all(open(traceFile(lines, chunk))), expected);
        }),
        { numRuns: 12 },
      );
    });

    test('may name more senders than are remembered', async () => {
      const lines = Array.from({ length: 50_000 }, (_, index) =>
        at(index, { account: `user${index}@example.com`, returnPath: `user${index % 7}@example.com` }),
      );
      const activities = await all(open(traceFile(lines, 500_000)));
      assert.deepEqual(
        activities.map(({ data }) => data),
        lines.map((line) => new LineReader('t').read(line)!.data),
      );
    });

    test('counts empty lines, and passes over them', async () => {
      const read: number[] = [];
      const file = traceFile([at(1), '', '   ', at(2), 'x'], 10);
      await assert.rejects(
        async () => {
          for await (const { activities } of open(file).batches())
            read.push(...activities.map((one) => one.at));
        },
        {
          name: 'StopgapError',
          code: 'invalid-input',
          details: { line: 5 },
          message: /trace\.ndjson:5: is no JSON/,
        },
      );
      assert.equal(read[0], START + 1000, 'what came in an earlier chunk was given');
    });

    test('without a message is none', async () => {
      await assert.rejects(all(open(traceFile(['', '']))), /trace\.ndjson: holds no message/);
    });

    test('that is packed and damaged says from where on', async () => {
      const packed = gzipSync(`${Array.from({ length: 2000 }, (_, index) => at(index)).join('\n')}\n`);
      const file = onceReadable('t.gz', Readable.from([packed.subarray(0, packed.length - 9)]), START);
      await assert.rejects(all(open(file)), /t\.gz: cannot be unpacked beyond line \d{2,}: /);
    });

    test('says how far it has been read', async () => {
      const file = traceFile([at(1), at(2), at(3)], 100);
      const done: number[] = [];
      for await (const batch of open(file).batches()) {
        done.push(batch.done);
        assert.equal(batch.total, file.bytes);
      }
      assert.deepEqual(
        done,
        [...done].sort((a, b) => a - b),
      );
      assert.equal(done.at(-1), file.bytes);
    });

    test('need not be read to its end', async () => {
      const lines = Array.from({ length: 5000 }, (_, index) => at(index));
      for await (const { activities } of open(traceFile(lines, 1000)).batches())
        if (activities.length > 0) break;
    });
  });
}

test('a trace that nobody reads keeps no process', () => {
  new TraceThread(traceFile([at(1)]));
});

test('a trace whose thread cannot begin for want of descriptors says so once it is read', async () => {
  const module = new URL('../../../src/backtest/trace/thread.js', import.meta.url).href;
  const { printed, code } = await shortOfDescriptors(`
    import { once } from 'node:events';
    import { Worker } from 'node:worker_threads';
    import { TraceThread } from '${module}';
    leave(0);
    const trace = new TraceThread({ name: 'trace' });
    // Begun later, it fails later.
    await new Promise((resolve) => new Worker('', { eval: true }).once('error', resolve));
    await trace.batches().next().catch((error) => console.log(error.message));
  `);
  assert.equal(code, 0, printed);
  assert.match(printed, /^Worker initialization failure: EMFILE/);
});
