import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTransport } from 'nodemailer';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { ALICE, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

interface Refused {
  readonly code: string;
  readonly responseCode: number;
  readonly response: string;
  readonly command: string;
}

test('a client that is not ours: nodemailer, over STARTTLS and TLS', async (t) => {
  const listen = '127.0.0.1:0';
  const stopgap = await Stopgap.start(t, {
    smtp: { submission: [{ listen }, { listen, tls: { mode: 'implicit' } }] },
  });
  const mailer = (index: number, pass = PASSWORDS[ALICE]!): ReturnType<typeof createTransport> => {
    const transport = createTransport({
      host: '127.0.0.1',
      port: stopgap.port('submission', index),
      secure: index === 1,
      requireTLS: index === 0,
      auth: { user: ALICE, pass },
      tls: { rejectUnauthorized: false },
    });
    t.after(() => transport.close());
    return transport;
  };
  const letter = { from: ALICE, to: ['a@x.test', 'b@x.test'], subject: 'Grüße', text: 'Zeile\n.\nPunkt\n' };

  for (const [index, name] of ['STARTTLS', 'TLS'].entries()) {
    await t.test(name, async () => {
      const info = (await mailer(index).sendMail({
        ...letter,
        attachments: [{ filename: 'a.bin', content: Buffer.alloc(400_000, 7) }],
      })) as { accepted: string[]; rejected: string[] };
      assert.deepEqual(info.accepted, ['a@x.test', 'b@x.test']);
      assert.deepEqual(info.rejected, []);
      assert.match(stopgap.upstream.messages.at(-1)!.content.toString(), /with ESMTPSA id/);
    });
  }

  await t.test('what it reports of a soft refusal', async () => {
    await stopgap.block('account', ALICE);
    const error = await mailer(0)
      .sendMail(letter)
      .then(
        () => assert.fail('was taken'),
        (thrown: Refused) => thrown,
      );
    const wrong = await mailer(0, 'a-wrong-pass-word')
      .sendMail(letter)
      .then(
        () => assert.fail('was taken'),
        (thrown: Refused) => thrown,
      );
    assert.equal(error.code, 'EAUTH');
    for (const key of ['code', 'responseCode', 'response', 'command'] as const) {
      assert.equal(error[key], wrong[key], `${key} tells the two apart`);
    }
    await stopgap.release('account', ALICE);
    await mailer(0).sendMail(letter);
  });

  await t.test('and each was a send', async () => {
    const sends = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sends.map(({ data }) => data.recipients),
      [2, 2, 2],
    );
    assert.ok(sends[0]!.data.size > 400_000);
  });
});
