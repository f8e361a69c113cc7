import { isMap, isScalar } from 'yaml';
import { domainOf, matches, normalizeAccount, normalizeAddress } from '../sending/identity.js';
import { ConfigError } from './problems.js';
import { piecesOf, plainValue, YamlSource } from './yaml-source.js';

/**
 * Which return paths an account may use. An authenticated client chooses its MAIL FROM; without this it could
 * get somebody else's address counted and blocked.
 *
 * `own`: its own address (`+tag` ignored). `domain`: any address of its own domain, subdomains not included.
 * `any`: no restriction. `map`: its own address and what the map lists for it.
 */
export type SenderPolicy =
  | { readonly kind: 'own' | 'domain' | 'any' }
  | { readonly kind: 'map'; readonly file: string; readonly map: SenderMap };

/** Account in normal form -> patterns of return paths in normal form; `*` matches any run of characters. */
export type SenderMap = ReadonlyMap<string, readonly string[]>;

/**
 * True if the account may use that return path. The null sender (`''`) is always allowed: bounces and automatic replies
 * have it.
 *
 * @param account the login, in any form
 * @param returnPath MAIL FROM without its angle brackets, in any form
 */
export function maySend(policy: SenderPolicy, account: string, returnPath: string): boolean {
  if (returnPath === '') return true;
  const own = normalizeAddress(account.trim());
  const used = normalizeAddress(returnPath);
  switch (policy.kind) {
    case 'any':
      return true;
    case 'own':
      return used === own;
    case 'domain': {
      const domain = domainOf(own);
      return domain === undefined ? used === own : domainOf(used) === domain;
    }
    case 'map': {
      if (used === own) return true;
      const patterns = policy.map.get(normalizeAccount(account));
      return patterns?.some((pattern) => matches(pattern, used)) ?? false;
    }
  }
}

/**
 * Whether what an account sends under a return path counts for that address too. Under `any` it may use every address, but
 * only its own is counted, and blocked for what it sends. Somebody else's login never counts: a block of that address
 * would refuse that login.
 *
 * @param isLogin whether a name, in normal form, is a login; not asked for mail of the past
 */
export function isEntitled(
  policy: SenderPolicy,
  account: string,
  returnPath: string,
  isLogin: (name: string) => boolean = () => false,
): boolean {
  if (!maySend(policy.kind === 'any' ? OWN : policy, account, returnPath)) return false;
  const used = normalizeAddress(returnPath);
  return used === normalizeAccount(account) || !isLogin(used);
}

const OWN: SenderPolicy = { kind: 'own' };

/**
 * Reads a sender map: a YAML mapping of account -> one return path or a list of them. A pattern's domain may
 * hold no wildcard, so that nobody allows the whole Internet by a slip.
 *
 * @param file how messages name the file
 * @throws ConfigError with every problem, each with file, line and column
 */
export function parseSenderMap(text: string, file: string): SenderMap {
  const map = new Map<string, string[]>();
  const problems: string[] = [];
  for (const { piece, before } of piecesOf(text))
    readSenders(new YamlSource(piece, file, before), map, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return map;
}

function readSenders(source: YamlSource, map: Map<string, string[]>, problems: string[]): void {
  const root = source.root;
  if (root === null || (isScalar(root) && root.value === null)) return;
  if (!isMap(root))
    throw new ConfigError([`${source.where(root)}: must be a mapping of account to return paths`]);
  for (const { key, keyNode, value } of source.entries(root)) {
    const account = normalizeAccount(key);
    if (map.has(account)) {
      problems.push(`${source.where(keyNode)}: ${key}: is there twice (it is ${account} in normal form)`);
      continue;
    }
    const raw = plainValue(source, value);
    const list: unknown[] = Array.isArray(raw) ? raw : [raw];
    const patterns: string[] = [];
    for (const item of list) {
      const wrong = patternFault(item);
      if (wrong === undefined) patterns.push(normalizeAddress(item as string));
      else problems.push(`${source.where(value ?? keyNode)}: ${key}: ${wrong}`);
    }
    map.set(account, patterns);
  }
}

function patternFault(item: unknown): string | undefined {
  const right = 'use an address or a pattern such as *@example.com';
  if (typeof item !== 'string') return `must be an address or a list of addresses; ${right}`;
  const domain = domainOf(item);
  if (domain === undefined || item.startsWith('@') || /[\s<>]/.test(item)) {
    return `"${item}" is no return path; ${right}`;
  }
  if (domain.includes('*')) return `"${item}" has a wildcard in its domain; ${right}`;
  if (item.slice(1, -domain.length - 1).includes('+') && item.slice(0, item.indexOf('+')).includes('*'))
    return `"${item}" has a wildcard before a +tag, which is dropped: it would allow far more; ${right}`;
  return undefined;
}
