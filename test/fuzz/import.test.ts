import assert from 'node:assert/strict';
import { PassThrough, Readable } from 'node:stream';
import { before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Trace, TraceReader } from '../../src/backtest/trace/trace.js';
import { recordOf } from '../../src/import/history.js';
import type { LogFile } from '../../src/import/postfix-log/index.js';
import { onceReadable } from '../../src/import/postfix-log/index.js';
import { TraceWriter } from '../../src/import/trace.js';
import { StopgapError } from '../../src/kernel/errors.js';
import type { MessageAccepted } from '../../src/sending/events.js';
import { anyText, damaged, fuzz } from '../support/fuzz/cases.js';
import { anyValue, warped } from '../support/fuzz/schema.js';
import { Steady } from '../support/fuzz/steady.js';
import { folding } from '../support/history.js';
import { ImportFolder } from '../support/import-folder.js';
import { NOW, eventsOf } from '../support/logs.js';
import type { Doing } from '../support/postfix.js';
import { doings, logOf } from '../support/postfix.js';

const START = Date.parse('2026-11-20T23:50:00Z');
/** Postfix takes no longer line; syslog may. */
const LONG = 'x'.repeat(2100);
const SENDING: Doing = { gap: 0, what: 'login', who: 0, recipients: 1, life: 0 };
const LARGEST_EVENT = 16 * 1024;

/** Lines of a mail server, some of which were written by nobody. */
const log = fc
  .tuple(
    doings,
    fc.constantFrom('traditional' as const, 'iso' as const),
    fc.array(
      fc.record({
        at: fc.nat(),
        name: fc.oneof(
          anyText,
          fc.constantFrom(LONG, `${LONG}@${LONG}`, `a@${LONG}`, '> to=<', '> orig_to=<', ']: '),
        ),
        into: fc.constantFrom(
          'from=<',
          'sasl_username=',
          'to=<',
          'helo=<',
          'client=',
          'message-id=',
          ': ',
          'size=',
          '[',
        ),
      }),
      { maxLength: 6 },
    ),
  )
  .map(([all, form, changes]) => {
    const lines = logOf(all, START, form).map(({ text }) => text);
    for (const { at, name, into } of changes) {
      const line = at % lines.length;
      lines[line] = lines[line]!.replace(into, () => `${into}${name}`);
    }
    return `${lines.join('\n')}\n`;
  });
const anyLog = fc.oneof(
  log,
  damaged(log),
  fc.tuple(log, log).map(([one, other]) => one + other),
  damaged(anyText),
);

const trace = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: warped(
        fc.record(
          {
            time: fc.integer({ min: 0, max: 600_000 }).map((later) => new Date(START + later).toISOString()),
            account: fc.constantFrom('anna@example.com', '', LONG),
            returnPath: fc.constantFrom('anna@example.com', '', 'Bert+x@example.com'),
            ip: fc.constantFrom('192.0.2.7', '2001:db8::7', '::ffff:192.0.2.7', 'x'),
            ehlo: anyText,
            country: fc.constantFrom('FR', 'fr', null),
            asn: fc.constantFrom(1, 0, 2 ** 32, null),
            recipients: fc.constantFrom(1, 5, 1e15, 0, -1, 1.5),
            size: fc.constantFrom(0, 1000, -1),
            recipientDomains: fc.array(anyText, { maxLength: 3 }),
            direction: fc.constantFrom('inbound', 'outbound', 'x'),
            entitled: fc.boolean(),
          },
          { requiredKeys: ['time', 'account', 'recipients'] },
        ),
      ).map((value) => JSON.stringify(value) ?? ''),
    },
    { weight: 1, arbitrary: anyText },
    { weight: 1, arbitrary: anyValue.map((value) => JSON.stringify(value)) },
  ),
  { maxLength: 8 },
);

/** As a pipe gives it: packed perhaps, and perhaps damaged on the way. */
interface Piped {
  readonly text: string;
  readonly packed: boolean;
  /** Bytes that are changed, from the first on. */
  readonly damage: readonly number[];
  readonly chunk: number;
}
const piped = (texts: fc.Arbitrary<string>): fc.Arbitrary<Piped> =>
  fc.record({
    text: texts,
    packed: fc.boolean(),
    damage: fc.oneof(fc.constant([]), fc.array(fc.nat(2000), { maxLength: 3 })),
    chunk: fc.integer({ min: 1, max: 3000 }),
  });

function bytesOf({ text, packed, damage }: Piped): Buffer {
  const bytes = packed ? gzipSync(text) : Buffer.from(text);
  // What tells that it is packed stays.
  for (const at of damage) if (at < bytes.length && at > 1) bytes[at]! ^= 0x55;
  return bytes;
}

function fileOf(given: Piped): LogFile {
  const bytes = bytesOf(given);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += given.chunk) chunks.push(bytes.subarray(at, at + given.chunk));
  return onceReadable('log', Readable.from(chunks), NOW);
}

/** What a writer of traces makes of events. */
async function traceOf(events: Awaited<ReturnType<typeof eventsOf>>['events']): Promise<string> {
  const out = new PassThrough();
  const writer = new TraceWriter(out);
  for (const event of events) writer.write(event);
  const text = out.setEncoding('utf8').toArray() as Promise<string[]>;
  await writer.finish();
  out.end();
  return (await text).join('');
}

/** Nothing that a terminal takes for more than text. */
function assertPrintable(text: string): void {
  assert.doesNotMatch(text.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
}

describe('a log of any content', () => {
  let steady: Steady;
  before(async () => {
    await eventsOf([fileOf({ text: 'x\n', packed: true, damage: [], chunk: 100 })]);
    steady = await Steady.from();
  });

  fuzz(
    'each line is counted once, each event can be stored, and a trace of them can be read',
    {
      arbitrary: fc.tuple(piped(anyLog), fc.boolean()),
      runs: 200,
      kept: {
        'a login of 60,000 characters is cut, and its message counts': [
          {
            text: logOf([SENDING], START, 'iso')
              .map(({ text }) => text.replace('user0@', `${'x'.repeat(60_000)}@`))
              .join('\n'),
            packed: false,
            damage: [],
            chunk: 3000,
          },
          false,
        ],
      },
    },
    async ([given, inbound]) => {
      const { events, summary } = await eventsOf([fileOf(given)], { inbound });
      const { lines, understood, broken } = summary;
      // A damaged file ends with a line that says so.
      assert.ok(understood + broken <= lines + 1, JSON.stringify(summary));
      for (const event of events) {
        const recorded = recordOf(event, 'postfix-log');
        // Names are cut to 1,024 characters; an A-label may be longer than what it is made from.
        assert.ok(recorded.stream.length < 2_000 && Number.isSafeInteger(event.at));
        assert.ok(JSON.stringify(recorded).length < LARGEST_EVENT, JSON.stringify(recorded).slice(0, 400));
      }
      const reader = new TraceReader('trace');
      // A clock that was set back far leaves a trace that must be sorted, as its reader says.
      reader.read(Buffer.from(await traceOf([...events].sort((a, b) => a.at - b.at))));
      reader.end();
      // Further recipients of a message have a line of their own.
      assert.equal(reader.messages, events.filter(({ event }) => event.type === 'MessageAccepted').length);
    },
  );

  test('the command says what it found, in text that a terminal can be shown', async (t) => {
    for (const text of fc.sample(anyLog, { numRuns: 6, seed: 1 })) {
      const folder = await ImportFolder.open(t, { 'mail.log': text });
      const { code, out, err } = await folder.import(['mail.log']);
      assert.ok(code === 0 || err !== '', err);
      assertPrintable(out);
      assertPrintable(err);
      assert.doesNotMatch(err, /^ {4}at /m, 'no stack');
      for (const event of await folder.events()) folding().models.apply(event);
    }
  });

  test('nothing is left of them', () => steady.still(16 * 1024 * 1024));
});

describe('a trace of any content', () => {
  fuzz(
    'it is read, or refused with its line',
    { arbitrary: piped(trace.map((lines) => lines.join('\n'))), runs: 400 },
    async (given) => {
      try {
        for await (const { activities } of new Trace(fileOf(given)).batches())
          for (const { at, data } of activities) {
            const { recipients, size } = data as MessageAccepted;
            assert.ok(Number.isSafeInteger(at) && recipients >= 1 && size >= 0);
          }
      } catch (error) {
        assert.ok(error instanceof StopgapError && error.code === 'invalid-input', String(error));
        assert.match(
          error.message,
          /^log(?::\d+: \S|: holds no message$|: cannot be unpacked beyond line \d+: )/,
        );
      }
    },
  );
});
