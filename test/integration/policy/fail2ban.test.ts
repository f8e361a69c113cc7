import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { refusalReply } from '../../../src/smtp/replies.js';

const REGEX = '/usr/bin/fail2ban-regex';
const skip = existsSync(REGEX) ? false : 'no fail2ban is installed (install it with: npm run test:install)';

const folder = mkdtempSync(path.join(tmpdir(), 'stopgap-fail2ban-'));
after(() => rmSync(folder, { recursive: true }));

const SHOW = ['--print-all-matched', '--print-no-missed'];

/** The lines that a filter of fail2ban takes for failures. Its program takes a quarter of a second to start. */
function matched(lines: readonly string[], filter: string): readonly string[] {
  const log = path.join(folder, 'log');
  writeFileSync(log, lines.map((line) => `${line}\n`).join(''));
  const { stdout } = spawnSync(REGEX, [...SHOW, log, filter], { encoding: 'utf8' });
  const counted = new RegExp(`^Lines: ${lines.length} lines, 0 ignored, (\\d) matched`, 'm').exec(stdout);
  assert.ok(counted !== null, stdout);
  const shown = lines.filter((line) => stdout.includes(`|  ${line}\n`));
  assert.equal(shown.length, Number(counted[1]), stdout);
  return shown;
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
      modes.filter((mode) => matched([atPostfix], `postfix[mode=${mode}]`).length > 0),
      ['auth', 'extra', 'aggressive'],
    );
    const atExim = exim(
      'plain authenticator failed for (pc) [192.0.2.7]: 535 Incorrect authentication data (set_id=alice@example.com)',
    );
    assert.deepEqual(matched([atExim], 'exim'), [atExim]);
  });

  test('take no refusal of a recipient for an attack, whatever their mode', () => {
    const blocks = (['soft', 'honest'] as const).map((block) => ({ block, reply: rejected(block) }));
    const rejects = blocks.map(({ reply: [code, status, text] }) =>
      postfix(
        `NOQUEUE: reject: RCPT from unknown[192.0.2.7]: ${code} ${status} <x@one.test>: Recipient address rejected: ${text}; from=<alice@example.com> to=<x@one.test> proto=ESMTP helo=<pc>`,
      ),
    );
    for (const mode of ['normal', 'ddos', 'auth', 'extra', 'aggressive'])
      assert.deepEqual(matched(rejects, `postfix[mode=${mode}]`), [], mode);
    const lines = blocks.map(({ block, reply: [, , text] }) => {
      const how = block === 'soft' ? 'temporarily rejected' : 'rejected';
      return exim(
        `H=(pc) [192.0.2.7] F=<alice@example.com> A=plain:alice@example.com ${how} RCPT <x@one.test>: ${text}`,
      );
    });
    for (const mode of ['normal', 'aggressive'])
      assert.deepEqual(matched(lines, `exim[mode=${mode}]`), [], mode);
  });
});
