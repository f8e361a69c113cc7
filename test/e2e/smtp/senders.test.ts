import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';

const REFUSED = '553 5.7.1 You may not send from this address';
const TO = 'one@elsewhere.test';

/** Return paths, and whether Alice may use them. */
const POLICIES: Readonly<Record<string, readonly (readonly [returnPath: string, allowed: boolean])[]>> = {
  own: [
    [ALICE, true],
    ['Alice+news@EXAMPLE.com', true],
    ['', true],
    [BOB, false],
    ['alice@sub.example.com', false],
  ],
  domain: [
    [ALICE, true],
    [BOB, true],
    ['anyone@Example.COM', true],
    ['', true],
    ['alice@sub.example.com', false],
    ['alice@example.org', false],
  ],
  any: [
    [ALICE, true],
    ['ceo@bank.test', true],
    ['', true],
  ],
  'map:./senders.yaml': [
    [ALICE, true],
    ['sales@example.com', true],
    ['list-7@lists.example.com', true],
    ['list-7@example.com', false],
    [BOB, false],
  ],
};

for (const [policy, paths] of Object.entries(POLICIES)) {
  test(`senders: ${policy}`, async (t) => {
    const stopgap = await Stopgap.start(t, {
      smtp: { senders: policy },
      files: { 'senders.yaml': `${ALICE}: [sales@example.com, list-*@lists.example.com]\n` },
    });
    const session = await stopgap.loggedIn();
    for (const [returnPath, allowed] of paths) {
      const reply = await session.say(`MAIL FROM:<${returnPath}>`);
      if (allowed) assert.match(reply, /^250 /, returnPath);
      else assert.equal(reply, REFUSED, returnPath);
      await session.say('RSET');
    }
    await session.quit();
  });
}

test('under any, a borrowed return path is not counted, so nobody gets somebody else blocked', async (t) => {
  const rules = JSON.stringify({
    version: 1,
    rules: [
      { id: 'path', per: 'address', count: 'recipients', window: '1h', limit: 2, then: 'block', for: '1h' },
    ],
  });
  const stopgap = await Stopgap.start(t, { smtp: { senders: 'any' }, rules });
  const session = await stopgap.loggedIn();
  for (let i = 0; i < 3; i++) assert.match(await session.send(BOB, [TO]), /^250 /);
  const borrowed = await stopgap.all<MessageAccepted>('MessageAccepted');
  assert.deepEqual(
    borrowed.map(({ data }) => data.entitled),
    [false, false, false],
  );
  assert.equal(stopgap.app.models.activeBlocks.size, 0);

  await t.test('the own one is', async () => {
    for (let i = 0; i < 3; i++) assert.match(await session.send(ALICE, [TO]), /^250 /);
    await session.say(`MAIL FROM:<${ALICE}>`);
    assert.match(await session.say(`RCPT TO:<${TO}>`), /^451 /);
    await session.say('RSET');
    assert.match(await session.send(BOB, [TO]), /^250 /);
  });
  await session.quit();
});

for (const senders of ['domain', 'map:./senders.yaml']) {
  test(`under ${senders}, the login of somebody else is not counted, so its mail goes on`, async (t) => {
    const rules = JSON.stringify({
      version: 1,
      rules: [
        { id: 'path', per: 'address', count: 'messages', window: '1h', limit: 2, then: 'block', for: '1h' },
      ],
    });
    const files = { 'senders.yaml': `${ALICE}: '*@example.com'\n` };
    const stopgap = await Stopgap.start(t, { smtp: { senders }, rules, files });
    const session = await stopgap.loggedIn();
    for (let i = 0; i < 3; i++) assert.match(await session.send('Bob+news@Example.com', [TO]), /^250 /);
    const colleague = await stopgap.loggedIn(BOB);
    assert.match(await colleague.send(BOB, [TO]), /^250 /);
    for (let i = 0; i < 3; i++) assert.match(await session.send('info@example.com', [TO]), /^250 /);
    await session.say('MAIL FROM:<info@example.com>');
    assert.match(await session.say(`RCPT TO:<${TO}>`), /^451 /, "what is nobody's login is counted");
    await Promise.all([session.quit(), colleague.quit()]);
  });
}
