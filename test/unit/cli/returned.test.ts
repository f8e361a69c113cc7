import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Reading } from '../../../src/cli/bounce/report.js';
import { MOST_IDS, MOST_SENDERS, readReturned } from '../../../src/cli/bounce/report.js';

const FOLDER = 'test/unit/cli/returned';
const expected = JSON.parse(readFileSync(`${FOLDER}/expected.json`, 'utf8')) as Record<string, Reading>;
const golden = (name: string): string => readFileSync(`${FOLDER}/${name}.eml`, 'utf8');
const read = (text: string): Promise<Reading> => readReturned(Buffer.from(text, 'latin1'));
const POSTFIX = golden('postfix');
const MEGABYTE = 1024 * 1024;

/** The bound is far above what linear work needs, in time of the processor: others use it too. */
async function readsInTime(text: string): Promise<Reading> {
  const began = process.cpuUsage();
  const reading = await read(text.slice(0, MEGABYTE));
  const { user, system } = process.cpuUsage(began);
  const spent = (user + system) / 1000;
  assert.ok(spent < 5_000, `it took ${Math.round(spent)} ms`);
  return reading;
}

describe('a message that is piped to stopgap bounce', () => {
  test('has a golden file for each expectation', () => {
    const files = readdirSync(FOLDER).filter((name) => name.endsWith('.eml'));
    assert.deepEqual(files.map((name) => name.slice(0, -4)).sort(), Object.keys(expected).sort());
  });

  for (const name of Object.keys(expected))
    test(`is read as expected: ${name}`, async () => {
      const text = golden(name);
      assert.deepEqual(await read(text), expected[name]);
      assert.deepEqual(await read(text.replaceAll('\n', '\r\n')), expected[name], 'with CRLF too');
    });

  test('counts for nothing without an id, or without a sender', async () => {
    const anonymous = POSTFIX.replace(/^X-Postfix-Queue-ID:.*\n/m, '').replace(/\bid 4fQxyz0AbB1zNp/, '');
    assert.deepEqual(await read(anonymous), { nothing: 'it names no id of the message that was sent' });
    const nobody = golden('arf-yahoo')
      .replace(/^Original-Mail-From:.*\n/m, '')
      .replace(/^From: Alice.*\n/m, '');
    assert.deepEqual(await read(nobody), { nothing: 'it names no sender of the message that was sent' });
  });

  test('keeps to its bounds whatever is nested, repeated, cut off or left open in it', async () => {
    const parts = (count: number, body: string): string =>
      `Content-Type: multipart/mixed; boundary=b\n\n${`--b\n${body}\n`.repeat(count)}--b--\n`;
    const status = 'Content-Type: message/delivery-status\n\nX: y\n\nAction: failed\n';
    await readsInTime(parts(10_000, '\nx'));
    await readsInTime(parts(20_000, status));
    await readsInTime(parts(10_000, 'Content-Type: text/html\n\n<a<b<c'));
    await readsInTime(`${'Content-Type: multipart/mixed; boundary=b\n\n--b\n'.repeat(10_000)}`);
    const deep = Array.from(
      { length: 2000 },
      (_, i) => `Content-Type: multipart/mixed; boundary=b${i}\n\n--b${i}\n`,
    );
    assert.match(JSON.stringify(await readsInTime(deep.join(''))), /cannot be read.*depth/);
    await readsInTime(`X: ${'y'.repeat(MEGABYTE)}`);
    assert.match(
      JSON.stringify(
        await readsInTime(POSTFIX.replace('Content-Description: Not', `X: ${'y'.repeat(99_000)}\nY`)),
      ),
      /cannot be read.*header size/,
    );
    await readsInTime(`Subject: ${'a: '.repeat(80_000)}\n\n`);
    for (const made of ['<"(', '(', '"', 'a@', '<a', '=?utf-8?q?', ',', ':;', '\\', ' '])
      for (const name of ['To', 'From', 'Content-Description', 'Content-Disposition', 'Received']) {
        const field = `${name}: ${made.repeat(200_000)}`.slice(0, 60_000);
        await readsInTime(`${field}\n${POSTFIX}`);
        await readsInTime(POSTFIX.replace('Content-Description: Undelivered Message', field));
        await readsInTime(POSTFIX.replace('Return-Path: <alice', `${field}\nReturn-Path: <alice`));
      }
    await readsInTime(`Content-Type: ${'multipart/report; a="'.repeat(10_000)}\n\n`);
    await readsInTime('\0'.repeat(MEGABYTE));
    await readsInTime('\n'.repeat(MEGABYTE));
    await readsInTime(
      POSTFIX.replace('Hi\n', `${'--4fQxyz0AbB1zNp.1764324007/mx.example.com x\n'.repeat(20_000)}`),
    );
    const nestedMessages = 'Content-Type: message/rfc822\n\n'.repeat(20_000);
    await readsInTime(nestedMessages);
    const many = POSTFIX.replace(
      'From: Alice <alice@example.com>',
      `${Array.from({ length: 2000 }, (_, i) => `Received: by x id queued${i}`).join('\n')}\nFrom: ${Array.from({ length: 500 }, (_, i) => `a${i}@b.test`).join(', ')}`,
    );
    const reading = await readsInTime(many);
    assert.ok('returned' in reading);
    assert.equal(reading.returned.ids.length, MOST_IDS);
    assert.equal(reading.returned.senders.length, MOST_SENDERS);
  });

  test('names what our server said before what a thief wrote into the header of the message', async () => {
    const made = (count: number, line: (index: number) => string): string =>
      Array.from({ length: count }, (_, index) => line(index)).join('');
    const remote = made(8, (index) => `Received: from a by b with SMTP id remote${index}\n`);
    const forged = made(
      40,
      (index) => `Received: from a (Authenticated sender: a${index}@z.test) by b id forged${index}\n`,
    );
    const names = `From: ${made(20, (index) => `b${index}@z.test, `)}c@z.test\nSender: d@z.test`;
    const text = POSTFIX.replace(/^X-Postfix-(?:Queue-ID|Sender):.*\n/gm, '')
      .replace(/^Return-Path: <alice.*\n/m, remote)
      .replace('From: Alice <alice@example.com>', `${forged}${names}`);
    const reading = await read(text);
    assert.ok('returned' in reading);
    assert.ok(reading.returned.ids.includes('4fQxyz0AbB1zNp'), reading.returned.ids.join());
    assert.ok(reading.returned.senders.includes('alice@example.com'), reading.returned.senders.join());
  });

  test('is read also where it is cut off anywhere, or any bytes of it are others', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.keys(expected)),
        fc.nat(4000),
        fc.array(fc.tuple(fc.nat(4000), fc.integer({ min: 0, max: 255 })), { maxLength: 12 }),
        async (name, end, changes) => {
          const bytes = Buffer.from(golden(name)).subarray(0, end);
          for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
          const reading = await readReturned(bytes);
          if ('nothing' in reading) return;
          for (const text of [...reading.returned.ids, ...reading.returned.senders])
            assert.match(text, /^[^\p{Cc}\s]{1,320}$/u);
        },
      ),
      { numRuns: 300 },
    );
  });
});
