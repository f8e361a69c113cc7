import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import test from 'node:test';
import type { TestContext } from 'node:test';
import tls from 'node:tls';
import { StopgapError } from '../../../src/kernel/errors.js';
import { DAY } from '../../../src/kernel/time.js';
import type { ListenerCertificateOptions } from '../../../src/smtp/tls.js';
import { ensureSelfSigned, ListenerCertificate } from '../../../src/smtp/tls.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';

const clock = { now: () => Date.now() };
const at = (now: number) => ({ now: () => now });

function serial(file: string): string {
  return new X509Certificate(readFileSync(file)).serialNumber;
}

test('a self-signed certificate serves its names over TLS 1.2 and later, and nothing older', async (context) => {
  const files = await ensureSelfSigned(
    path.join(temporaryDirectory(context), 'tls'),
    'mx.example.com',
    clock,
  );
  assert.equal(statSync(files.key).mode & 0o777, 0o600);
  const { secure, expiresAt } = await new ListenerCertificate({ files, clock }).load();
  assert.ok(expiresAt > Date.now() + 800 * DAY && expiresAt <= Date.now() + 825 * DAY);
  const server = tls.createServer(secure).listen(0, '127.0.0.1');
  server.on('tlsClientError', () => undefined);
  context.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connect = async (options: tls.ConnectionOptions): Promise<string | null> => {
    const socket = tls.connect({ host: '127.0.0.1', port, ca: secure.cert, ...options });
    await once(socket, 'secureConnect');
    const version = socket.getProtocol();
    socket.destroy();
    return version;
  };
  for (const servername of ['mx.example.com', 'localhost']) {
    assert.equal(await connect({ servername }), 'TLSv1.3');
  }
  assert.equal(await connect({}), 'TLSv1.3', '127.0.0.1 is a name of it');
  assert.equal(await connect({ servername: 'localhost', maxVersion: 'TLSv1.2' }), 'TLSv1.2');
  await assert.rejects(connect({ servername: 'other.example' }), /altnames/);
  await assert.rejects(
    connect({
      servername: 'localhost',
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    }),
    /version|alert/i,
  );
});

test('a good certificate is kept; one that ends, is for another name or broken is made again', async (context) => {
  const directory = path.join(temporaryDirectory(context), 'tls');
  const now = Date.now();
  const { cert, key } = await ensureSelfSigned(directory, 'a.example', at(now));
  const first = serial(cert);
  await ensureSelfSigned(directory, 'a.example', at(now + 800 * DAY));
  assert.equal(serial(cert), first, 'more than two weeks left');
  await ensureSelfSigned(directory, 'a.example', at(now + 811 * DAY));
  const second = serial(cert);
  assert.notEqual(second, first, 'less than two weeks left');
  await ensureSelfSigned(directory, 'b.example', at(now + 811 * DAY));
  const third = serial(cert);
  assert.notEqual(third, second, 'another name');
  writeFileSync(key, 'broken');
  await ensureSelfSigned(directory, 'b.example', at(now + 811 * DAY));
  const fourth = serial(cert);
  assert.notEqual(fourth, third, 'a broken key');
  rmSync(key);
  await ensureSelfSigned(directory, 'b.example', at(now + 811 * DAY));
  assert.notEqual(serial(cert), fourth, 'no key');
});

test('listeners that ask at once share one certificate', async (context) => {
  const directory = path.join(temporaryDirectory(context), 'tls');
  const asked = Array.from({ length: 8 }, () => ensureSelfSigned(directory, 'a.example', clock));
  const { cert } = await asked[0]!;
  const first = serial(cert);
  const [files] = await Promise.all(asked);
  assert.equal(serial(cert), first, 'made once');
  await new ListenerCertificate({ files: files!, clock }).load();
});

async function setUp(context: TestContext) {
  const directory = temporaryDirectory(context);
  const files = { cert: path.join(directory, 'mx.crt'), key: path.join(directory, 'mx.key') };
  const issue = async (name: string): Promise<{ cert: string; key: string }> => {
    const made = await ensureSelfSigned(path.join(directory, name), `${name}.example`, clock);
    return { cert: readFileSync(made.cert, 'utf8'), key: readFileSync(made.key, 'utf8') };
  };
  const old = await issue('old');
  writeFileSync(files.cert, old.cert);
  writeFileSync(files.key, old.key);
  const changes: string[] = [];
  const refusals: string[] = [];
  const options: ListenerCertificateOptions = {
    files,
    clock,
    onChange: ({ cert }) => changes.push(cert),
    onRefused: (reason) => refusals.push(reason),
  };
  return { files, issue, old, changes, refusals, options };
}

test('new files are taken over once both are there', async (context) => {
  const { files, issue, old, changes, refusals, options } = await setUp(context);
  const certificate = await new ListenerCertificate(options).load();
  assert.equal(await certificate.check(), false);
  const next = await issue('next');
  writeFileSync(files.cert, next.cert);
  assert.equal(await certificate.check(), false);
  assert.equal(await certificate.check(), false);
  assert.equal(certificate.secure.cert, old.cert, 'half a pair changes nothing');
  assert.ok(certificate.contextFor('old.example') !== undefined);
  assert.equal(certificate.contextFor('next.example'), undefined);
  assert.equal(refusals.length, 1);
  assert.match(refusals[0]!, /mx\.key: does not belong to the certificate in .*mx\.crt$/);
  writeFileSync(files.key, next.key);
  assert.equal(await certificate.check(), true);
  assert.deepEqual(certificate.secure, { ...next, minVersion: 'TLSv1.2' });
  assert.equal(certificate.contextFor('old.example'), undefined);
  assert.ok(certificate.contextFor('next.example') !== undefined);
  assert.deepEqual(changes, [next.cert]);
  assert.equal(await certificate.check(), false);
});

test('broken and missing files are refused with their names, never with the key', async (context) => {
  const { files, old, refusals, options } = await setUp(context);
  const certificate = await new ListenerCertificate(options).load();
  writeFileSync(files.key, `-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n`);
  assert.equal(await certificate.check(), false);
  rmSync(files.cert);
  assert.equal(await certificate.check(), false);
  assert.equal(certificate.secure.cert, old.cert);
  assert.ok(refusals.some((reason) => /mx\.key: is no PEM private key/.test(reason)));
  assert.ok(refusals.some((reason) => /mx\.crt is gone/.test(reason)));
  for (const reason of refusals) assert.doesNotMatch(reason, /c2VjcmV0|secret/);

  const load = (): Promise<unknown> => new ListenerCertificate(options).load();
  await assert.rejects(
    load(),
    (thrown) => thrown instanceof StopgapError && /mx\.crt: cannot be read/.test(thrown.message),
  );
  writeFileSync(files.cert, 'no certificate');
  await assert.rejects(load(), /mx\.crt: is no PEM certificate/);
  writeFileSync(files.cert, `-----BEGIN CERTIFICATE-----\n${'A'.repeat(2_000_000)}`);
  await assert.rejects(load(), /mx\.crt: has more than 1048576 characters: it is another file/);
});

test('a certificate that is gone and comes back as it was is told once, and its name is logged once', async (context) => {
  const { files, old, refusals, changes, options } = await setUp(context);
  let restored = 0;
  const certificate = await new ListenerCertificate({ ...options, onRestored: () => (restored += 1) }).load();
  rmSync(files.cert);
  await certificate.check();
  assert.deepEqual(refusals, [`${files.cert} is gone`]);
  writeFileSync(files.cert, old.cert);
  await certificate.check();
  await certificate.check();
  assert.deepEqual([restored, changes], [1, []]);
  rmSync(files.cert);
  await certificate.check();
  assert.equal(refusals.length, 2, 'the next time is told again');
});

test('a self-signed certificate that was made while the clock was ahead is made anew once it is right', async (context) => {
  const directory = path.join(temporaryDirectory(context), 'tls');
  let now = Date.now() + 700 * DAY;
  const moving = { now: () => now };
  const files = await ensureSelfSigned(directory, 'a.example', moving);
  const selfSigned = { directory, hostname: 'a.example' };
  const certificate = await new ListenerCertificate({ files, selfSigned, clock: moving }).load();
  const before = certificate.expiresAt;
  assert.equal(await certificate.check(), false);
  now -= 700 * DAY;
  assert.equal(await certificate.check(), true);
  assert.equal(certificate.expiresAt, before - 700 * DAY);
});

test('a self-signed certificate of a long-running server is renewed in time', async (context) => {
  const directory = path.join(temporaryDirectory(context), 'tls');
  let now = Date.now();
  const moving = { now: () => now };
  const files = await ensureSelfSigned(directory, 'a.example', moving);
  const certificate = await new ListenerCertificate({
    files,
    selfSigned: { directory, hostname: 'a.example' },
    clock: moving,
  }).load();
  const before = certificate.expiresAt;
  now += 700 * DAY;
  assert.equal(await certificate.check(), false);
  now += 115 * DAY;
  assert.equal(await certificate.check(), true);
  assert.ok(certificate.expiresAt > before + 700 * DAY);
});
