import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../src/runtime/clock.js';
import { Terminal } from '../cli-client/support.js';

test('if a node has no outbox on this disk the command line says so and names the file', async (t) => {
  const terminal = await Terminal.open(systemClock, {
    STOPGAP_STORE: 'kurrentdb://127.0.0.1:1?tls=false',
    STOPGAP_SMTP_RELAY_URL: 'maildir:./mail',
    STOPGAP_DATA: './of-another',
  });
  t.after(() => terminal.close());
  for (const verb of ['show', 'retry']) {
    const { code, out, err } = await terminal.run('outbox', verb);
    assert.deepEqual([code, out], [0, '']);
    assert.match(
      err,
      /^nothing is in quarantine: there is no \S+\/of-another\/outbox\.db; data \(STOPGAP_DATA\) names /,
    );
  }
});
