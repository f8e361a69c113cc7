import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SECOND } from '../../../src/kernel/time.js';
import { settle } from '../../support/gate.js';
import { END, Scene, SOFT } from '../../support/policy/scene.js';

describe('messages of one account that end at once', () => {
  const LATER = SOFT;
  const end = (recipients: number, more: Readonly<Record<string, string>> = {}) => ({
    ...END,
    recipient_count: String(recipients),
    ...more,
  });

  test('go on with at most 200 recipients in all, or one by itself, until they are counted', () => {
    const scene = new Scene();
    assert.equal(scene.ask(end(1000)), 'DUNNO', 'one message alone always goes on');
    for (let times = 0; times < 49; times++) assert.equal(scene.ask(end(1000)), LATER);
    assert.equal(scene.ask(end(1, { sasl_username: 'ALICE@example.com' })), LATER);
    assert.equal(scene.ask(end(200, { sasl_username: 'bob@example.com' })), 'DUNNO', 'nobody else waits');
    assert.equal(scene.sent.length, 2);
    assert.deepEqual(scene.putOff[0], { account: 'alice@example.com', recipients: 1000, block: undefined });
    assert.equal(scene.counted.filter((each) => each === 'end_of_message put_off').length, 50);
    assert.deepEqual(scene.refused, [], 'no block refuses it');
    assert.ok(!scene.counted.some((each) => each.startsWith('refused')));
    scene.settle();
    assert.equal(scene.ask(end(150)), 'DUNNO', 'all are counted');
    assert.equal(scene.ask(end(50)), 'DUNNO');
    assert.equal(scene.ask(end(1)), LATER);
  });

  test('go on only when what they tripped is in force', async () => {
    const scene = new Scene();
    let fold = (): void => undefined;
    scene.inForce = new Promise((resolve) => (fold = resolve));
    assert.equal(scene.ask(end(1000)), 'DUNNO');
    scene.settle();
    assert.equal(scene.ask(end(1000)), LATER, 'it is durable, and not counted yet');
    fold();
    await settle();
    assert.equal(scene.ask(end(1000)), 'DUNNO');
  });

  test('are told the same however often they are asked about, and the next message is looked at anew', () => {
    const scene = new Scene();
    scene.ask(end(200));
    assert.equal(scene.ask(end(5, { instance: '1.2.3.4' })), LATER);
    scene.settle();
    assert.equal(scene.ask(end(5, { instance: '1.2.3.4' })), LATER);
    assert.equal(scene.putOff.length, 1);
    assert.equal(scene.ask(end(5, { instance: '1.2.3.5' })), 'DUNNO');
  });

  for (const [refuse, told] of [
    ['450', LATER.replace('451', '450')],
    ['hold', LATER],
  ] as const)
    test(`are told to come again where blocked mail gets ${refuse}: no block could let go what is held`, () => {
      const scene = new Scene({ refuse });
      scene.ask(end(200));
      assert.equal(scene.ask(end(1)), told);
      assert.deepEqual(scene.held, []);
    });

  test('are held where the mail server holds them already for a block', () => {
    const scene = new Scene();
    scene.ask(end(200));
    scene.block({ refusal: 'hold' });
    assert.equal(scene.ask({ instance: '1.2.3.4' }), 'HOLD');
    assert.equal(scene.ask(end(100, { instance: '1.2.3.4' })), 'DUNNO');
    assert.equal(scene.held.length, 1);
  });

  test('go on as far as the limits of their account allow', () => {
    const scene = new Scene({ limit: 5000 });
    for (let times = 0; times < 5; times++) assert.equal(scene.ask(end(1000)), 'DUNNO');
    assert.equal(scene.ask(end(1)), LATER);
  });

  test('go on without a login, as at the front door', () => {
    const scene = new Scene({ ownNetworks: ['192.0.2.0/24'] });
    for (const client_address of ['192.0.2.7', '198.51.100.7'])
      for (let times = 0; times < 3; times++)
        assert.equal(scene.ask(end(1000, { sasl_username: '', client_address })), 'DUNNO');
  });

  test('go on where they cannot be counted: what fails is ours', () => {
    const away = new Scene();
    away.ask(end(1000));
    away.settle(new Error('the disk is full'));
    assert.equal(away.ask(end(1000)), 'DUNNO', 'a record that is lost is not waited for');
    away.isHealthy = false;
    assert.equal(away.ask(end(1000)), 'DUNNO', 'the store is away');
    const full = new Scene({ isFull: true });
    for (let times = 0; times < 3; times++) assert.equal(full.ask(end(1000)), 'DUNNO');
    const unknowing = new Scene({ knows: false });
    for (let times = 0; times < 3; times++) assert.equal(unknowing.ask(end(1000)), 'DUNNO');
    const gone = new Scene();
    gone.inForce = Promise.reject(new Error('the log is no longer followed'));
    gone.ask(end(1000));
    gone.settle();
    return settle().then(() => assert.equal(gone.ask(end(1000)), 'DUNNO'));
  });

  test('go on where a store has written none for two seconds', () => {
    const scene = new Scene();
    scene.ask(end(1000));
    scene.clock.advance(2 * SECOND - 1);
    assert.equal(scene.ask(end(1000)), LATER);
    scene.clock.advance(1);
    assert.equal(scene.ask(end(1000)), 'DUNNO');
    scene.settle();
    assert.equal(scene.ask(end(1000)), 'DUNNO');
    assert.equal(scene.ask(end(1000)), LATER, 'it writes again');
  });
});
