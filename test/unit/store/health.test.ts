import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Health } from '../../../src/store/health.js';
import { settle } from '../../support/gate.js';
import { eventually } from '../../support/smtp/eventually.js';

/** A health whose looks the test answers, and whose retries go as it says. */
function watched() {
  const looks: { resolve: () => void; reject: (error: Error) => void }[] = [];
  const state = { works: false, retries: 0 };
  const health = new Health({
    look: () => new Promise<void>((resolve, reject) => looks.push({ resolve, reject })),
    retry() {
      state.retries++;
      return state.works ? Promise.resolve() : Promise.reject(new Error('still away'));
    },
    backoff: { first: 1, most: 5 },
  });
  return { health, looks, state };
}

const AWAY = new Error('away');

describe('the health of a store', () => {
  test('is lost when a check fails, with the reason, and comes back by retries', async () => {
    const { health, looks, state } = watched();
    const look = health.look();
    looks.shift()!.reject(AWAY);
    await assert.rejects(look, AWAY);
    assert.equal(health.good, false);
    await assert.rejects(health.look(), AWAY);
    assert.equal(looks.length, 0, 'what has failed is not looked at besides');
    await eventually('it is tried again and again', () => state.retries > 2);
    assert.equal(health.good, false);
    await assert.rejects(health.look(), /still away/);
    state.works = true;
    await eventually('it is good again', () => health.good);
    const { retries } = state;
    await settle();
    assert.equal(state.retries, retries);
    health.close();
  });

  test('is looked for without success until an append or a retry succeeds', async () => {
    const { health, looks } = watched();
    health.fail();
    health.fail();
    await assert.rejects(health.look(), { message: 'appends have failed' });
    health.succeed();
    await health.look();
    assert.equal(looks.length, 0);
    health.close();
  });

  test('needs one check less after appends have succeeded', async () => {
    const { health, looks } = watched();
    health.succeed();
    health.succeed();
    await health.look();
    assert.equal(looks.length, 0);
    const look = health.look();
    looks.shift()!.resolve();
    await look;
    assert.equal(health.good, true);
    void health.look();
    assert.equal(looks.length, 1, 'a look is no append');
  });

  test('is not lost by a check that fails while an append succeeds', async () => {
    const { health, looks } = watched();
    const look = health.look();
    health.succeed();
    looks.shift()!.reject(AWAY);
    await look;
    assert.equal(health.good, true);
  });

  test('is reported no more, and tried no more, once it is closed during a check', async () => {
    const { health, looks, state } = watched();
    const look = health.look();
    health.close();
    looks.shift()!.reject(AWAY);
    await look;
    health.fail();
    await settle();
    assert.equal(state.retries, 0);
  });
});
