import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import { refusalReply } from '../../../src/smtp/replies.js';

const REGEX = '/usr/bin/fail2ban-regex';
const skip = existsSync(REGEX) ? false : 'no fail2ban is installed (install it with: npm run test:install)';

/** Whether a filter of fail2ban takes a line for a failure. */
function matched(line: string, filter: string): boolean {
  const { stdout } = spawnSync(REGEX, [line, filter], { encoding: 'utf8' });
  const count = /^Lines: 1 lines, 0 ignored, (\d) matched/m.exec(stdout)?.[1];
  assert.ok(count !== undefined, stdout);
  return count === '1';
}

const postfix = (text: string): string => `Nov 29 08:00:00 mx postfix/submission/smtpd[123]: ${text}`;
const exim = (text: string): string => `2026-11-29 08:00:00 ${text}`;
const rejected = (block: 'soft' | 'honest'): readonly [code: number, status: string, text: string] => {
  const { code, text } = refusalReply(block, 'postmaster@example.com');
  const [status, ...words] = text.split(' ');
  return [code, status!, words.join(' ')];
};

describe('the filters of fail2ban, as docs/run/mail-servers.md has it,', { skip }, () => {
  test('take a login that a block made fail for a wrong password', () => {
    const atPostfix = postfix(
      'warning: unknown[192.0.2.7]: SASL PLAIN authentication failed: (reason unavailable), sasl_username=alice@example.com',
    );
    const modes = ['normal', 'ddos', 'auth', 'extra', 'aggressive'];
    assert.deepEqual(
      modes.filter((mode) => matched(atPostfix, `postfix[mode=${mode}]`)),
      ['auth', 'extra', 'aggressive'],
    );
    const atExim = exim(
      'plain authenticator failed for (pc) [192.0.2.7]: 535 Incorrect authentication data (set_id=alice@example.com)',
    );
    assert.ok(matched(atExim, 'exim'));
  });

  test('take no refusal of a recipient for an attack, whatever their mode', () => {
    for (const block of ['soft', 'honest'] as const) {
      const [code, status, text] = rejected(block);
      const reject = `NOQUEUE: reject: RCPT from unknown[192.0.2.7]: ${code} ${status} <x@one.test>: Recipient address rejected: ${text}; from=<alice@example.com> to=<x@one.test> proto=ESMTP helo=<pc>`;
      for (const mode of ['normal', 'ddos', 'auth', 'extra', 'aggressive'])
        assert.ok(!matched(postfix(reject), `postfix[mode=${mode}]`), `${mode} ${block}`);
      const how = block === 'soft' ? 'temporarily rejected' : 'rejected';
      const line = `H=(pc) [192.0.2.7] F=<alice@example.com> A=plain:alice@example.com ${how} RCPT <x@one.test>: ${text}`;
      for (const mode of ['normal', 'aggressive'])
        assert.ok(!matched(exim(line), `exim[mode=${mode}]`), `${mode} ${block}`);
    }
  });
});
