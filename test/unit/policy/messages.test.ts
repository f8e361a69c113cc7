import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AskedMessages, keyOf, noteRecipient } from '../../../src/policy/messages.js';
import { RequestReader } from '../../../src/policy/request.js';
import { Steady } from '../../support/fuzz/steady.js';
import { requestText } from '../../support/policy/asking.js';

test('what is remembered of a message does not keep the bytes that its request came with', async () => {
  const messages = new AskedMessages();
  const reader = new RequestReader((request) => {
    const message = messages.of(keyOf(request));
    noteRecipient(message, request);
  });
  const memory = await Steady.from();
  for (let n = 0; n < 2_000; n++) {
    const instance = `4e2e.6b0a8558.${n.toString(16)}.0`;
    const recipient = `someone@a-long-domain-${n}.example`;
    const text = requestText({ instance, recipient, ccert_subject: 'x'.repeat(4_000) });
    assert.equal(reader.read(Buffer.from(text)), undefined);
  }
  assert.equal(messages.size, 2_000);
  await memory.still(2_000 * 2_000);
});

test('a message that its server holds is remembered however many others come, as long as few are held', () => {
  const messages = new AskedMessages();
  messages.of('slow').held = 'block-1';
  for (let n = 0; n < 100_000; n++) messages.of(`other ${n}`);
  assert.equal(messages.of('slow').held, 'block-1');
  assert.ok(messages.size <= 20_000);
  Object.assign(messages.of('ended'), { held: 'block-1', answer: 'DUNNO' });
  for (let n = 0; n < 100_000; n++) messages.of(`held ${n}`).held = 'block-2';
  assert.equal(messages.of('ended').held, undefined);
  assert.ok(messages.size <= 20_001);
});
