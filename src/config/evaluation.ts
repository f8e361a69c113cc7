import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { readIfThere, writePrivateFile } from '../accounts/private-file.js';
import { withFileLock } from '../accounts/record-file.js';
import { addToken, newToken, readTokens } from '../accounts/tokens.js';
import { addUser, readUsers } from '../accounts/users.js';
import type { Instant } from '../kernel/time.js';
import type { Config } from './schema.js';

export const DEMO_ACCOUNT = 'demo@example.com';
export const DEMO_TOKEN = 'demo';

/** What a first start made. The secrets are plain; they are shown once. */
export interface Evaluation {
  readonly account: string;
  /** Only at the first start. */
  readonly password: string | undefined;
  /** An administrator's token; only at the first start. */
  readonly token: string | undefined;
  /** Where the two can be found again. */
  readonly credentialsFile: string;
  /** False if somebody has removed that file. */
  readonly credentialsKept: boolean;
}

/**
 * Makes the demo account and an administrator's token with random secrets. A users or tokens file that is there
 * is left alone, so that what was removed stays removed. The plain secrets are written down first: a start that
 * was cut short goes on with the same ones. Of two at once the second waits for what the first makes.
 */
export async function setUpEvaluation(config: Config, now: Instant): Promise<Evaluation> {
  const credentialsFile = path.join(config.data, 'demo-credentials.txt');
  const files = [config.smtp.auth.users, config.api.tokens];
  const texts = await Promise.all(files.map(readIfThere));
  const make = (): Promise<Evaluation> => setUp(config, credentialsFile, now);
  // A later start needs no room on the disk for a lock.
  return texts.includes(undefined) ? withFileLock(credentialsFile, make) : make();
}

async function setUp(config: Config, credentialsFile: string, now: Instant): Promise<Evaluation> {
  const { users } = config.smtp.auth;
  const { tokens } = config.api;
  const makeUser = (await readIfThere(users)) === undefined;
  const makeToken = (await readIfThere(tokens)) === undefined;
  // Both are read even if they stay: a broken file must stop the start, with file and line.
  await readUsers(users);
  await readTokens(tokens);
  const kept = await readCredentials(credentialsFile);
  const password = makeUser ? (kept.password ?? randomBytes(12).toString('base64url')) : undefined;
  const token = makeToken ? (kept.token ?? newToken()) : undefined;
  if (password !== undefined || token !== undefined) {
    await writePrivateFile(
      credentialsFile,
      credentialsText({ password: password ?? kept.password, token: token ?? kept.token }),
    );
  }
  if (token !== undefined) await addToken({ file: tokens, name: DEMO_TOKEN, role: 'admin', now, token });
  if (password !== undefined) await addUser({ file: users, name: DEMO_ACCOUNT, password, now });
  const credentialsKept = (await readIfThere(credentialsFile)) !== undefined;
  return { account: DEMO_ACCOUNT, password, token, credentialsFile, credentialsKept };
}

interface Credentials {
  readonly password: string | undefined;
  readonly token: string | undefined;
}

function credentialsText({ password, token }: Credentials): string {
  const lines = [
    '# The secrets of the evaluation set-up. Their hashes are what counts: changing them here changes nothing.',
  ];
  if (password !== undefined) lines.push(`account: ${DEMO_ACCOUNT}`, `password: ${password}`);
  if (token !== undefined) lines.push(`token: ${token}`);
  return `${lines.join('\n')}\n`;
}

/** What an earlier start wrote down. Nothing is taken from a file that somebody has changed. */
async function readCredentials(file: string): Promise<Credentials> {
  const text = (await readIfThere(file)) ?? '';
  const line = (key: string, form: RegExp): string | undefined =>
    new RegExp(`^${key}: (${form.source})$`, 'm').exec(text)?.[1];
  return { password: line('password', /[\w-]{16}/), token: line('token', /sgp_[\w-]{43}/) };
}
