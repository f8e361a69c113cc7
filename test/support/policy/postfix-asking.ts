import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import type { FakeOptions } from '../relay/fake-upstream.js';
import { FakeUpstream } from '../relay/fake-upstream.js';
import { Dialogue } from '../smtp/dialogue.js';
import { dovecotAuth } from '../smtp/dovecot-auth.js';
import { RealPostfix } from '../smtp/real-postfix.js';
import { PASSWORDS } from '../smtp/stopgap.js';

/** What docs/run/mail-servers.md has an administrator put into main.cf. */
function documentedSettings(): readonly string[] {
  const text = readFileSync('docs/run/mail-servers.md', 'utf8');
  const block = /```ini\n# main\.cf\n([^`]*)```/.exec(text)![1]!;
  const lines = block.split('\n').filter((line) => line !== '');
  assert.deepEqual(
    lines.map((line) => line.split(' ', 1)[0]),
    ['stopgap', 'smtpd_recipient_restrictions', 'smtpd_end_of_data_restrictions'],
  );
  return lines;
}

export interface AskingOptions {
  /** What the server that mail goes to answers. */
  readonly script?: FakeOptions['script'];
  /** More lines of main.cf, and entries of master.cf. */
  readonly settings?: readonly string[];
  readonly services?: readonly string[];
}

/** A Postfix that asks there, with users who log in. */
export async function postfixAsking(
  t: TestContext,
  where: string,
  { script, settings = [], services = [] }: AskingOptions = {},
): Promise<{ postfix: RealPostfix; outside: FakeUpstream }> {
  const outside = await FakeUpstream.start(script === undefined ? {} : { script });
  t.after(() => outside.stop());
  const auth = await dovecotAuth(t, PASSWORDS);
  const recipe = documentedSettings().map((line) => line.replace('inet:127.0.0.1:10040', where));
  const postfix = await RealPostfix.start(t, {
    // The second is the one through which a content filter gives mail back.
    listeners: ['127.0.0.1:2500 inet n - n - - smtpd', '127.0.0.1:2501 inet n - n - - smtpd\n  -o stopgap='],
    outside: outside.port,
    inside: outside.port,
    services,
    settings: [
      'smtpd_sasl_auth_enable = yes',
      'smtpd_sasl_type = dovecot',
      `smtpd_sasl_path = inet:127.0.0.1:${auth}`,
      ...recipe,
      ...settings,
      '',
    ].join('\n'),
  });
  return { postfix, outside };
}

export async function loggedIn(
  postfix: RealPostfix,
  user: string,
  port = postfix.ports[0]!,
): Promise<Dialogue> {
  const session = await Dialogue.hello(port);
  assert.match(await session.login(user, PASSWORDS[user]!), /^235 /);
  return session;
}
