import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { formatInstant, MINUTE } from '../../../src/kernel/time.js';
import { FIXED_RULES } from '../../support/fixed-rules.js';
import { Scene } from '../../support/kurrentdb/scene.js';
import { tokenOf } from '../../support/policy/token.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';

test('where no detector runs, /healthz of the others counts the senders over a limit until something stops them', (t) =>
  Scene.play(async (scene) => {
    const { url } = await scene.server();
    const settings = { roles: ['policy', 'api', 'worker'], store: url, smtp: { hostname: 'mx.example.com' } };
    const stopgap = await Stopgap.start(t, {
      settings: { ...settings, policy: { listen: '127.0.0.1:0' } },
    });
    const { store, models } = stopgap.app;
    await new RulesCommandHandler(store, stopgap.clock).load(undefined, FIXED_RULES);
    const api = `http://127.0.0.1:${stopgap.port('HTTP')}`;
    const unanswered = async (): Promise<unknown> => {
      await models.reached(await store.head());
      const answer = await fetch(`${api}/healthz`);
      return ((await answer.json()) as { readonly unanswered: number }).unanswered;
    };
    assert.equal(await unanswered(), 0);
    const at = formatInstant(stopgap.clock.now() - MINUTE);
    const item = { type: 'accepted', id: '1', account: ALICE, recipients: 120, at };
    const { status } = await fetch(`${api}/api/v1/sends`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${await tokenOf(stopgap, 'mx')}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify([item]),
    });
    assert.equal(status, 200);
    // It is worked out once a second at most.
    await eventually('one is counted', async () => (await unanswered()) === 1);
    await stopgap.block('account', ALICE);
    await eventually('it is stopped', async () => (await unanswered()) === 0);
    await stopgap.stop();
  }));
