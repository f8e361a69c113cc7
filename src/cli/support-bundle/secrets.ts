import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../../config.js';
import { relaysOf } from '../../config/schema.js';
import { parseRedis } from '../../redis/address.js';

/** What is shorter is no secret, and would strike out half of every text. */
const SHORTEST = 4;

/**
 * Every secret that this process knows of. None of them gets as far as a bundle: what goes in is made without them.
 * They are looked for all the same, so that a mistake somewhere else does no harm.
 */
export function secretsOf(config: Config, token: string | undefined): readonly string[] {
  const { redis, store, data } = config;
  const secrets = [
    token,
    ...relaysOf(config).flatMap(({ relay }) => ofUrl(relay.url)),
    ...(store.kind === 'kurrentdb' ? ofUrl(store.url) : []),
    ...(redis === undefined ? [] : ofRedis(redis.url)),
    ...(config.tracing === undefined ? [] : Object.values(config.tracing.headers ?? {})),
    ...ofDemo(path.join(data, 'demo-credentials.txt')),
  ];
  const known = secrets.filter((one): one is string => one !== undefined && one.length >= SHORTEST);
  // As they are written in a URL too, and the longest first: one may be a part of another.
  const all = new Set(known.flatMap((secret) => [secret, encodeURIComponent(secret)]));
  return [...all].sort((a, b) => b.length - a.length);
}

/** The text without any of them. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  return secrets.reduce((rest, secret) => rest.replaceAll(secret, '***'), text);
}

function ofUrl(text: string): readonly string[] {
  const login = /^[a-z+.-]+:\/\/([^/?#]*)@/i.exec(text)?.[1];
  if (login === undefined) return [];
  const colon = login.indexOf(':');
  const password = colon < 0 ? login : login.slice(colon + 1);
  return [password, decoded(password)];
}

function ofRedis(url: string): readonly (string | undefined)[] {
  const { password, sentinelPassword } = parseRedis(url).secrets();
  return [password, sentinelPassword];
}

function ofDemo(file: string): readonly string[] {
  try {
    const lines = readFileSync(file, 'utf8').matchAll(/^(?:password|token): (\S+)$/gm);
    return [...lines].map(([, secret]) => secret!);
  } catch {
    return []; // outside an evaluation there is none
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // no escape at all: then it stands there as it is
  }
}
