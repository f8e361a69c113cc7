import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import tls from 'node:tls';
import { generate } from 'selfsigned';
import { Stopgap } from '../../support/smtp/stopgap.js';

async function pairFor(name: string): Promise<{ readonly private: string; readonly cert: string }> {
  return generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: name }] }],
  });
}

/** Whom the certificate is for that a client gets who asks for this name. */
async function shown(port: number, servername: string | undefined, isImplicit: boolean): Promise<string> {
  const plain = net.connect(port, '127.0.0.1');
  if (!isImplicit) {
    await once(plain, 'data');
    for (const command of ['EHLO x', 'STARTTLS']) {
      plain.write(`${command}\r\n`);
      await once(plain, 'data');
    }
    plain.removeAllListeners('data');
  }
  const secure = tls.connect({
    socket: plain,
    rejectUnauthorized: false,
    ...(servername === undefined ? {} : { servername }),
  });
  await once(secure, 'secureConnect');
  const { CN } = secure.getPeerCertificate().subject;
  secure.destroy();
  return String(CN);
}

test('a client gets the certificate for the name that it asks for, and the first if there is none for it', async (t) => {
  const names = ['mx.example.com', 'mail.other.example', '*.many.example', 'xn--bcher-kva.example'];
  const pairs = await Promise.all(names.map(pairFor));
  const certificate = {
    cert: names.map((_, index) => `./${index}.crt`),
    key: names.map((_, index) => `./${index}.key`),
  };
  const listen = '127.0.0.1:0';
  const stopgap = await Stopgap.start(t, {
    smtp: {
      submission: [
        { listen, tls: { mode: 'starttls', ...certificate } },
        { listen, tls: { mode: 'implicit', ...certificate } },
      ],
    },
    files: Object.fromEntries(
      pairs.flatMap((pair, index) => [
        [`${index}.crt`, pair.cert],
        [`${index}.key`, pair.private],
      ]),
    ),
  });
  const wanted: readonly (readonly [asked: string | undefined, got: string])[] = [
    [undefined, 'mx.example.com'],
    ['mx.example.com', 'mx.example.com'],
    ['mail.other.example', 'mail.other.example'],
    ['MAIL.Other.example', 'mail.other.example'],
    ['one.many.example', '*.many.example'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['many.example', 'mx.example.com'],
    ['nobody.example', 'mx.example.com'],
    ['*', 'mx.example.com'],
    ['x'.repeat(255), 'mx.example.com'],
  ];
  for (const [index, isImplicit] of [false, true].entries())
    for (const [asked, got] of wanted)
      assert.equal(await shown(stopgap.port('submission', index), asked, isImplicit), got, asked);
});
