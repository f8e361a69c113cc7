import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { generate } from 'selfsigned';
import { PASSWORD } from '../smtp/processes.js';
import { hashPassword } from '../../src/accounts/passwords.js';
import { many, RULE } from './inputs.js';
import type { Attack, Target } from './target.js';
import { FILES_AT_FIRST } from './target.js';

/*
 * The files that are watched. Nobody else than an administrator writes them, but scripts make them large, and what goes wrong
 * with a large file must not stop the service.
 */

type Watched = keyof typeof FILES_AT_FIRST;

/** Puts a file in place, has it read, and puts back what was there. */
async function reload(target: Target, file: Watched, text: string): Promise<void> {
  const place = path.join(target.directory, file);
  await writeFile(place, text);
  await target.read('reload');
  await writeFile(place, FILES_AT_FIRST[file]);
  await target.read('reload');
}

async function other(
  target: Target,
  what: 'certificate' | 'places',
  files: Readonly<Record<string, string | Buffer>>,
): Promise<void> {
  for (const [name, content] of Object.entries(files))
    await writeFile(path.join(target.directory, name), content);
  await target.read(what);
}

const HASH = await hashPassword(PASSWORD, { ln: 4, r: 1, p: 1 });
const comments = (bytes: number): string => `${'#'.repeat(98)}\n`.repeat(Math.ceil(bytes / 99));
const users = (count: number, form: (name: string) => string): string =>
  `users:\n${many(count, (n) => `  - ${form(`user${n}@customer${n % 1000}.example.com`)}\n`).join('')}`;
const block = (name: string): string =>
  `name: ${name}\n    password: ${HASH}\n    addedAt: 2026-01-02T03:04:05.678Z`;
const flow = (name: string): string => `{ name: ${name}, password: "${HASH}" }`;
const wrong = (name: string): string => `name: ${name}\n    password: none`;
const override = (n: number): unknown => ({
  subject: { type: 'account', value: `user${n}@example.com` },
  factor: 2,
  limits: { rule1: 5000, rule2: 'off' },
});
const exempt = (n: number): unknown => ({
  subject: { type: 'account', value: `user${n}@example.com` },
  reason: 'r',
});

const YAML: readonly (readonly [file: Watched, worst: string, text: string])[] = [
  ['users.yaml', '100,000 users', users(100_000, block)],
  ['users.yaml', '20,000 users in braces', users(20_000, flow)],
  [
    'users.yaml',
    '20,000 users in one line',
    JSON.stringify({ users: many(20_000, (n) => ({ name: `u${n}`, password: HASH })) }),
  ],
  ['users.yaml', '100,000 users, all wrong', users(100_000, wrong)],
  ['users.yaml', '16 MB without a line break', 'a'.repeat(16_000_000)],
  [
    'tokens.yaml',
    '20,000 tokens',
    `tokens:\n${many(20_000, (n) => `  - name: t${n}\n    role: viewer\n    hash: sha256:${String(n).padStart(64, '0')}\n`).join('')}`,
  ],
  [
    'senders.yaml',
    '50,000 accounts',
    many(50_000, (n) => `user${n}@example.com: ["*@a.test", x@b.test]\n`).join(''),
  ],
  [
    'rules.yaml',
    '10,000 exemptions',
    JSON.stringify({ version: 1, mode: 'observe', rules: many(40, RULE), exempt: many(10_000, exempt) }),
  ],
  [
    'rules.yaml',
    '10,000 rules with an unknown key',
    `version: 1\nrules:\n${'  - { idd: x }\n'.repeat(10_000)}`,
  ],
  ['overrides.yaml', '10,000 overrides', JSON.stringify({ version: 1, overrides: many(10_000, override) })],
  ['overrides.yaml', '8 MB of a list', `version: 1\noverrides: [${'1,'.repeat(1_000_000)}]`],
];

const { private: key, cert } = await generate([{ name: 'commonName', value: 'bench.example.com' }], {
  keyType: 'ec',
  curve: 'P-256',
});
const rsa = generateKeyPairSync('rsa', { modulusLength: 4096 }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
});
const certificate = (
  worst: string,
  files: { readonly cert: string; readonly key: string | Buffer },
): Attack => ({
  door: 'files, TLS',
  worst,
  attack: (target) => other(target, 'certificate', { 'tls.crt': files.cert, 'tls.key': files.key }),
  ordinary: (target) => other(target, 'certificate', { 'tls.crt': cert, 'tls.key': key }),
});
const MARK = Buffer.from('\xab\xcd\xefMaxMind.co', 'latin1');

export const FILES: readonly Attack[] = [
  ...YAML.map(([file, worst, text]) => ({
    door: `files, ${file}`,
    worst,
    attack: (target: Target) => reload(target, file, text),
    ordinary: (target: Target) => reload(target, file, `${FILES_AT_FIRST[file]}\n${comments(text.length)}`),
  })),
  certificate('a chain of 2,000', { cert: cert.repeat(2000), key }),
  certificate('16 MB that are none', { cert: `-----BEGIN CERTIFICATE-----\n${'A'.repeat(16_000_000)}`, key }),
  certificate('a key of 16 MB', { cert, key: `-----BEGIN PRIVATE KEY-----\n${'A'.repeat(16_000_000)}` }),
  certificate('the key of another', { cert, key: rsa }),
  {
    door: 'files, places',
    worst: '64 MB without an end',
    attack: (target) => other(target, 'places', { 'places.mmdb': Buffer.alloc(64 * 1024 * 1024, MARK) }),
    ordinary: (target) => other(target, 'places', { 'places.mmdb': Buffer.alloc(64 * 1024 * 1024) }),
  },
];
