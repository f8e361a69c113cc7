import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ALICE, BOB, PASSWORDS, Stopgap, WRONG } from '../../support/smtp/stopgap.js';

const TO = 'one@elsewhere.test';

test('what happens at the door shows in the metrics, by stage and reason', async (t) => {
  const stopgap = await Stopgap.start(t);
  const { upstream } = stopgap;
  const session = await stopgap.loggedIn();
  const login = await stopgap.hello();
  await session.send(ALICE, [TO, 'two@elsewhere.test']);
  await session.say(`MAIL FROM:<${BOB}>`);
  upstream.script.RCPT = () => '550 5.1.1 unknown';
  await session.send(ALICE, [TO]);
  upstream.script = {};
  await login.login(BOB, WRONG);
  await stopgap.block('account', ALICE);
  await session.say(`RCPT TO:<${TO}>`);
  await login.login(ALICE, PASSWORDS[ALICE]!);
  const stranger = await stopgap.stranger();
  await stranger.sayAll([`MAIL FROM:<a@far.test>`, `RCPT TO:<${TO}>`]);

  // As a scraper reads them.
  const response = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/metrics`);
  const lines = new Set((await response.text()).split('\n'));
  for (const line of [
    'stopgap_sends_total{direction="outbound"} 1',
    'stopgap_recipients_total{direction="outbound"} 2',
    'stopgap_refusals_total{stage="mail",reason="sender"} 1',
    'stopgap_refusals_total{stage="rcpt",reason="upstream"} 1',
    'stopgap_refusals_total{stage="rcpt",reason="soft"} 1',
    'stopgap_refusals_total{stage="rcpt",reason="relay"} 1',
    'stopgap_refusals_total{stage="auth",reason="soft"} 1',
    'stopgap_auth_total{outcome="succeeded"} 1',
    'stopgap_auth_total{outcome="failed"} 1',
    'stopgap_auth_total{outcome="feigned"} 1',
    'stopgap_smtp_sessions{direction="outbound"} 2',
    'stopgap_smtp_sessions{direction="inbound"} 1',
    'stopgap_active_blocks{type="account",origin="admin"} 1',
  ]) {
    assert.ok(
      lines.has(line),
      `${line}\nnot in\n${[...lines].filter((one) => /^stopgap_[a-z_]+({| )/.test(one)).join('\n')}`,
    );
  }
  await Promise.all([session.quit(), login.quit(), stranger.quit()]);
});
