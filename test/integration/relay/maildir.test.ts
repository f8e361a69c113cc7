import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import type { Relay } from '../../../src/smtp/relay/port.js';
import { ManualClock } from '../../support/manual-clock.js';
import { bodyOf, ENVELOPE, MESSAGE, relayTo, temporaryDir, yes } from '../../support/relay/helpers.js';

async function deliver(relay: Relay, confirm = yes) {
  const transaction = relay.begin(ENVELOPE);
  await transaction.offer({ address: 'one@example.net' });
  await transaction.offer({ address: 'two@example.net' });
  return transaction.transmit(await bodyOf(MESSAGE), confirm);
}

describe('relay Maildir', () => {
  it('writes one file a message, for its owner only, with the envelope before the content', async (t) => {
    const dir = join(await temporaryDir(t), 'deep', 'mail');
    const relay = relayTo(t, `maildir:${dir}`, { hostname: 'a/b:c' });
    const { reply } = await deliver(relay);
    const [name] = await readdir(join(dir, 'new'));
    assert.deepEqual(reply, { code: 250, text: `2.0.0 delivered as ${name}` });
    assert.match(name!, /^\d+\.M\d+P\d+Q1R[0-9a-f]{8}\.a\\057b\\072c$/);
    assert.equal(
      await readFile(join(dir, 'new', name!), 'latin1'),
      `Return-Path: <sender@example.com>\r\nEnvelope-To: one@example.net\r\nEnvelope-To: two@example.net\r\n${MESSAGE}`,
    );
    const mode = async (path: string) => (await stat(path)).mode & 0o777;
    assert.equal(await mode(join(dir, 'new', name!)), 0o600);
    for (const part of ['tmp', 'new', 'cur']) assert.equal(await mode(join(dir, part)), 0o700);
  });

  it('gives every message a name of its own and leaves nothing in tmp', async (t) => {
    const dir = await temporaryDir(t);
    const relay = relayTo(t, `maildir:${dir}`);
    await Promise.all(Array.from({ length: 50 }, () => deliver(relay)));
    assert.equal((await readdir(join(dir, 'new'))).length, 50);
    assert.deepEqual(await readdir(join(dir, 'tmp')), []);
  });

  it('asks for confirmation once the file is complete, and removes it if it is denied', async (t) => {
    const dir = await temporaryDir(t);
    const relay = relayTo(t, `maildir:${dir}`);
    let inTmp: Promise<string[]> | undefined;
    const delivery = await deliver(relay, () => {
      inTmp = readdir(join(dir, 'tmp'));
      return false;
    });
    assert.equal(delivery.withdrawn, true);
    await inTmp;
    assert.deepEqual([await readdir(join(dir, 'tmp')), await readdir(join(dir, 'new'))], [[], []]);
  });

  it('answers 451 if it cannot write, and delivers again once it can', async (t) => {
    const dir = join(await temporaryDir(t), 'mail');
    await writeFile(dir, 'a file stands where the directory should');
    const relay = relayTo(t, `maildir:${dir}`);
    const { reply, accepted } = await deliver(relay);
    assert.equal(reply.code, 451);
    assert.match(reply.text, /^4\.3\.0 .*\((EEXIST|ENOTDIR)\)$/);
    assert.ok(!reply.text.includes(dir), 'the client learns no path');
    assert.deepEqual(accepted, []);
    assert.equal((await relay.probe()).ok, false);
    await rm(dir);
    assert.equal((await deliver(relay)).reply.code, 250);
  });

  it('tells once that it cannot write, and once that it can again', async (t) => {
    const dir = join(await temporaryDir(t), 'mail');
    await writeFile(dir, 'a file stands where the directory should');
    const clock = new ManualClock();
    const notices: string[] = [];
    const relay = relayTo(t, `maildir:${dir}`, { clock, onNotice: (notice) => notices.push(notice) });
    assert.ok(relay.healthy);
    for (let n = 0; n < 20; n++) await deliver(relay);
    assert.equal(notices.length, 1);
    assert.match(notices[0]!, /^the Maildir takes no messages: (EEXIST|ENOTDIR)$/);
    assert.ok(!relay.healthy);
    await rm(dir);
    assert.equal((await relay.probe()).ok, true);
    clock.advance(20 * SECOND);
    assert.deepEqual(notices.slice(1), ['the Maildir takes messages again']);
    assert.ok(relay.healthy);
    assert.deepEqual(await readdir(join(dir, 'tmp')), []);
  });

  it('makes its directories again if somebody removed them', async (t) => {
    const dir = join(await temporaryDir(t), 'mail');
    const relay = relayTo(t, `maildir:${dir}`);
    await deliver(relay);
    await rm(dir, { recursive: true });
    await deliver(relay);
    assert.equal((await deliver(relay)).reply.code, 250);
  });

  it('leaves nothing in tmp if the move fails', async (t) => {
    const dir = await temporaryDir(t);
    const relay = relayTo(t, `maildir:${dir}`);
    await deliver(relay);
    await rm(join(dir, 'new'), { recursive: true });
    await writeFile(join(dir, 'new'), '');
    assert.equal((await deliver(relay)).reply.code, 451);
    assert.deepEqual(await readdir(join(dir, 'tmp')), []);
  });

  it('answers 452 on a full disk', async (t) => {
    const dir = await temporaryDir(t);
    const relay = relayTo(t, `maildir:${dir}`);
    await mkdir(join(dir, 'tmp'));
    const transaction = relay.begin(ENVELOPE);
    await transaction.offer({ address: 'one@example.net' });
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    const body = {
      ...(await bodyOf(MESSAGE)),
      buffers: undefined,
      // eslint-disable-next-line require-yield -- a source that fails at once
      async *open(): AsyncGenerator<Buffer> {
        throw full;
      },
    };
    const { reply } = await transaction.transmit(body, yes);
    assert.equal(reply.code, 452);
    assert.deepEqual(await readdir(join(dir, 'tmp')), []);
  });

  it('takes only what has the form of an address', async (t) => {
    const transaction = relayTo(t, `maildir:${await temporaryDir(t)}`).begin(ENVELOPE);
    for (const address of ['nobody', '@example.net', 'a@', '']) {
      assert.equal((await transaction.offer({ address })).code, 553, address);
    }
    for (const address of ['a@b', '"a b"@c.example', 'jürgen@bücher.example', 'a@[192.0.2.1]']) {
      assert.equal((await transaction.offer({ address })).code, 250, address);
    }
  });
});
