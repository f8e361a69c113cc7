import { createHash } from 'node:crypto';
import type { CheckJson } from '../../../src/api/check.js';
import type { ForgottenJson } from '../../../src/api/forget.js';
import type { Stopgap, StopgapOptions } from '../smtp/stopgap.js';

/** A token of each kind that tests of Dovecot's auth policy show. */
export const SERVER_TOKEN = 'sgp_server-token-for-tests';
export const VIEWER_TOKEN = 'sgp_viewer-token-for-tests';
const ADMIN_TOKEN = 'sgp_admin-token-for-tests';

const hashOf = (token: string): string => `sha256:${createHash('sha256').update(token).digest('hex')}`;

/** The tokens file that knows them. */
export const TOKENS_FILE = JSON.stringify({
  tokens: [
    { name: 'dovecot', role: 'server', hash: hashOf(SERVER_TOKEN) },
    { name: 'looker', role: 'viewer', hash: hashOf(VIEWER_TOKEN) },
    { name: 'keeper', role: 'admin', hash: hashOf(ADMIN_TOKEN) },
  ],
});

/** For a Stopgap that answers a Dovecot. */
export const FOR_DOVECOT: Pick<StopgapOptions, 'files' | 'settings'> = {
  files: { 'tokens.yaml': TOKENS_FILE },
  settings: { api: { listen: '127.0.0.1:0', tokens: './tokens.yaml' } },
};

/** What Dovecot 2.3 says of a login, with what a test wants to be otherwise. */
export function attemptOf(over: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  return {
    device_id: '',
    login: 'alice@example.com',
    protocol: 'smtp',
    pwhash: 'hash-of-one-password',
    remote: '192.0.2.7',
    session_id: '',
    tls: false,
    ...over,
  };
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** One request, as Dovecot makes it. */
export async function askPolicy(
  stopgap: Stopgap,
  command: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/dovecot/policy?command=${command}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${SERVER_TOKEN}`,
      'content-type': 'application/json',
      ...headers,
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  return { status: response.status, text: await response.text() };
}

/** What a help desk is told of a sender. */
export async function check(stopgap: Stopgap, query: string): Promise<CheckJson> {
  const response = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/check?${query}`, {
    headers: { authorization: `Bearer ${VIEWER_TOKEN}` },
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return (await response.json()) as CheckJson;
}

/** @returns what is left to do once an account is forgotten */
export async function forget(stopgap: Stopgap, value: string): Promise<readonly string[]> {
  const response = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/api/v1/forget`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({ subject: { type: 'account', value } }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return ((await response.json()) as ForgottenJson).remains;
}
