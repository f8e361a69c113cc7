import { existsSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { Following } from '../follow.js';
import type { FakeUpstream } from '../relay/fake-upstream.js';
import { dovecotAuth } from './dovecot-auth.js';
import { eventually } from './eventually.js';
import { RealPostfix } from './real-postfix.js';
import { workDir } from './served.js';
import type { Stopgap } from './stopgap.js';
import { PASSWORDS } from './stopgap.js';

/** A Postfix where people log in and which asks nobody, and a follower that has begun to read its log. */
export async function followedPostfix(
  t: TestContext,
  stopgap: Stopgap,
  outside: FakeUpstream,
): Promise<{ postfix: RealPostfix; following: Following }> {
  const auth = await dovecotAuth(t, PASSWORDS);
  const postfix = await RealPostfix.start(t, {
    listeners: ['127.0.0.1:2500 inet n - n - - smtpd'],
    outside: outside.port,
    inside: outside.port,
    settings: [
      'smtpd_sasl_auth_enable = yes',
      'smtpd_sasl_type = dovecot',
      `smtpd_sasl_path = inet:127.0.0.1:${auth}`,
      'local_recipient_maps = inline:{alice@example.com=x}',
      '',
    ].join('\n'),
  });
  const state = path.join(await workDir(t), 'state.json');
  const following = await Following.start(t, stopgap, { args: ['postfix-log', postfix.logFile], state });
  await eventually('its place is written down', () => existsSync(state), 60_000);
  return { postfix, following };
}
