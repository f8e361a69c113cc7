import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { pathToFileURL } from 'node:url';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { ALICE, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

const TO = 'one@elsewhere.test';
const listen = '127.0.0.1:0';

/** The certificate that everybody knows the key of. */
async function libraryCertificate(): Promise<X509Certificate> {
  const entry = createRequire(import.meta.url).resolve('smtp-server');
  const module = pathToFileURL(path.join(path.dirname(entry), '../esm/tls-options.js')).href;
  const { default: tlsOptions } = (await import(module)) as { default: (own: object) => { cert: string } };
  return new X509Certificate(tlsOptions({}).cert);
}

test('TLS on every listener, with a certificate of our own', async (t) => {
  const stopgap = await Stopgap.start(t, {
    smtp: {
      submission: [
        { listen },
        { listen, tls: { mode: 'implicit' } },
        { listen, allowInsecureAuth: false },
        { listen, tls: { mode: 'none' } },
      ],
    },
  });
  const ours = new X509Certificate(await readFile(path.join(stopgap.dir, 'data/tls/self-signed.crt')));
  const theirs = await libraryCertificate();
  const isOurs = (socket: TLSSocket): void => {
    assert.equal(socket.getPeerCertificate().fingerprint256, ours.fingerprint256);
    assert.notEqual(socket.getPeerCertificate().fingerprint256, theirs.fingerprint256);
  };

  await t.test('STARTTLS forgets the login and the greeting', async () => {
    const session = await stopgap.loggedIn();
    await session.sayAll([`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`]);
    isOurs(await session.startTls());
    assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^503 .*EHLO/);
    assert.match(await session.say('EHLO client.test'), /AUTH PLAIN LOGIN/);
    assert.match(await session.say(`MAIL FROM:<${ALICE}>`), /^530 /, 'logged in no more');
    assert.match(await session.say('DATA'), /^530 /, 'the recipients of before are gone too');
    assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
    assert.match(await session.send(ALICE, [TO]), /^250 /);
    assert.match(stopgap.upstream.messages.at(-1)!.content.toString(), /with ESMTPSA id/);
    await session.quit();
  });

  await t.test('what was said in clear text after STARTTLS is not carried out inside it', async () => {
    const session = await stopgap.hello();
    isOurs(await session.startTls('NOOP\r\nNOOP\r\n'));
    assert.match(await session.say('EHLO client.test'), /^250-mx\.example\.com/);
    await session.quit();
  });

  await t.test('TLS from the first byte', async () => {
    const session = await Dialogue.hello(stopgap.port('submission', 1), { implicitTls: true });
    isOurs(session.socket as TLSSocket);
    const offered = await session.say('EHLO client.test');
    assert.match(offered, /AUTH PLAIN LOGIN/);
    assert.doesNotMatch(offered, /STARTTLS/);
    assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
    assert.match(await session.send(ALICE, [TO]), /^250 /);
    await session.quit();
  });

  await t.test(
    'where logins in clear are not allowed, none is offered, and nothing is sent without',
    async () => {
      const session = await Dialogue.hello(stopgap.port('submission', 2));
      assert.doesNotMatch(await session.say('EHLO client.test'), /AUTH/);
      assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^5/);
      assert.equal(
        await session.say(`MAIL FROM:<${ALICE}>`),
        '530 5.7.0 Must issue a STARTTLS command first',
      );
      assert.match(await session.say(`RCPT TO:<${TO}>`), /^503 /);
      isOurs(await session.startTls());
      assert.match(await session.say('EHLO client.test'), /AUTH PLAIN LOGIN/);
      assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
      assert.match(await session.send(ALICE, [TO]), /^250 /);
      await session.quit();
    },
  );

  await t.test('without TLS there is no STARTTLS', async () => {
    const session = await Dialogue.hello(stopgap.port('submission', 3));
    assert.doesNotMatch(await session.say('EHLO client.test'), /STARTTLS/);
    assert.match(await session.say('STARTTLS'), /^500 /);
    assert.match(await session.login(ALICE, PASSWORDS[ALICE]!), /^235 /);
    await session.quit();
  });

  await t.test('a handshake that fails harms nobody', async () => {
    const implicit = await Dialogue.connect(stopgap.port('submission', 1));
    implicit.write('EHLO this is no handshake\r\n');
    await implicit.closed;
    const session = await stopgap.hello();
    await session.say('STARTTLS');
    session.write('neither is this\r\n');
    await session.closed;
    const after = await stopgap.loggedIn();
    await after.quit();
  });
});
