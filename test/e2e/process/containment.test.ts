import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeUpstream } from '../../support/relay/fake-upstream.js';
import { flood } from '../../support/smtp/flood.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { ALICE, BOB, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

/** The built-in rule: more than a hundred recipients within ten minutes. */
const LIMIT = 100;
const CONNECTIONS = 50;
/** Each connection may have one message on its way when the rule trips. */
const MOST = LIMIT + CONNECTIONS;

test(`one account on ${CONNECTIONS} connections at full speed: at most ${MOST} messages get through`, async (t) => {
  for (let run = 1; run <= 3; run++) {
    await t.test(`a process of its own, into its Maildir, run ${run}`, async () => {
      const served = await Served.start(t, await workDir(t), { STOPGAP_LOG_LEVEL: 'warn' });
      const got = await flood(served.port('submission'), {
        user: 'demo@example.com',
        password: served.told('password'),
        connections: CONNECTIONS,
      });
      t.diagnostic(`${got} got through`);
      assert.ok(got > LIMIT && got <= MOST, `${got} got through`);
      assert.equal((await served.terminate()).code, 0);
    });
  }
  for (const user of [ALICE, BOB]) {
    await t.test(`in front of an SMTP server, ${user}`, async () => {
      const upstream = await FakeUpstream.start();
      const stopgap = await Stopgap.start(t, { upstream });
      const got = await flood(stopgap.port(), { user, password: PASSWORDS[user]!, connections: CONNECTIONS });
      t.diagnostic(`${got} got through`);
      assert.ok(got > LIMIT && got <= MOST, `${got} got through`);
      assert.equal(upstream.messages.length, got, 'what was refused had no final dot upstream');
      assert.equal((await stopgap.all('MessageAccepted')).length, got);
      assert.equal((await stopgap.all('BlockImposed')).length, 1);
    });
  }
});
