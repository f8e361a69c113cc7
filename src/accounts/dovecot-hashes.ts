import { createHash, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import type { IArgon2Options } from 'hash-wasm';
import { SideThread } from '../runtime/side-thread.js';

/*
 * Hashes as Dovecot keeps them: `{SCHEME}` and what the scheme makes of it. What Stopgap can verify is taken over as it is, so
 * that nobody needs a new password. The costs of a hash are bounded when it is read: a file must not be able to ask for
 * gigabytes, or minutes, at each login.
 */

/** A hash that can be verified. */
export interface DovecotHash {
  /** What a check costs, in the unit of `passwordCost`: only roughly, since the algorithms differ. */
  readonly cost: number;
  /** @param password in UTF-8, as it was typed: that is what Dovecot hashes */
  verify(password: Buffer): Promise<boolean>;
}

/** What the thread is told: a hash that takes long, or (`new`) with what options of Argon2 it makes one. */
export type HashTold = { readonly id: number; readonly password: Uint8Array } & (
  | { readonly kind: 'bcrypt' | 'argon2' | 'sha-crypt'; readonly hash: string }
  | { readonly kind: 'new'; readonly options: NewHash }
);

export type NewHash = Pick<
  IArgon2Options,
  'memorySize' | 'iterations' | 'parallelism' | 'hashLength' | 'salt'
>;

/** What it answers: whether the password is right, or the hash that it made. */
export interface HashAnswer {
  readonly id: number;
  readonly said: boolean | string;
}

const WITH_SCHEME = /^\{([A-Za-z0-9-]{1,30})(?:\.(b64|base64|hex))?\}(.*)$/i;
const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
const ARGON2 =
  /^\$argon2(?:id|i)\$v=19\$m=(\d{1,8}),t=(\d{1,6}),p=(\d{1,4})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,172}$/;
const SHA_CRYPT = /^\$([56])\$(?:rounds=(\d{1,9})\$)?[./A-Za-z0-9]{1,16}\$([./A-Za-z0-9]+)$/;
const PBKDF2 = /^\$1\$([^$\s]{1,64})\$(\d{1,9})\$([0-9a-f]{40})$/i;

/** Salted digests, by scheme: Dovecot keeps digest and salt, together in base64. */
const DIGESTS: Readonly<Record<string, readonly [algorithm: string, bytes: number]>> = {
  SSHA: ['sha1', 20],
  SSHA256: ['sha256', 32],
  SSHA512: ['sha512', 64],
};
const LONGEST_SALT = 64;

/** 2^15 rounds of bcrypt take two to four seconds. */
const MOST_BCRYPT = 15;
/** Kibibytes, as for scrypt. */
const MOST_ARGON2_MEMORY = 1024 ** 2;
/** Kibibytes times passes: six seconds. */
const MOST_ARGON2_WORK = 4 * 1024 ** 2;
const MOST_LANES = 16;
const MOST_SHA_ROUNDS = 200_000;
const MOST_PBKDF2_ROUNDS = 2_000_000;
/** What takes no time worth naming still is a hash. */
const NEXT_TO_NOTHING = 1;

/**
 * Reads a hash with its scheme, such as `{BLF-CRYPT}$2y$…` or `{SSHA256}…`. Without a scheme it is `{CRYPT}`.
 *
 * @returns the hash, or why it cannot be used; without the hash itself
 */
export function readDovecotHash(stored: string): DovecotHash | string {
  const match = WITH_SCHEME.exec(stored);
  const scheme = match === null ? 'CRYPT' : match[1]!.toUpperCase();
  const encoding = match?.[2]?.toLowerCase() === 'hex' ? 'hex' : 'base64';
  const hash = match === null ? stored : match[3]!;
  const digest = DIGESTS[scheme];
  if (digest !== undefined) return salted(scheme, hash, encoding, ...digest);
  switch (scheme) {
    case 'CRYPT':
      return crypted(hash);
    case 'BLF-CRYPT':
      return bcrypt(hash);
    case 'SHA256-CRYPT':
    case 'SHA512-CRYPT':
      return shaCrypt(hash);
    case 'ARGON2I':
    case 'ARGON2ID':
      return argon2(hash);
    case 'PBKDF2':
      return pbkdf2Hash(hash);
    default:
      // What else is in braces may be a password.
      return `${OTHERS.has(scheme) ? `the scheme {${scheme}}` : 'its scheme'} cannot be verified here; ${OFFERED}`;
  }
}

/** Schemes of Dovecot's that messages may name. */
const OTHERS: ReadonlySet<string> = new Set([
  'PLAIN',
  'CLEAR',
  'CLEARTEXT',
  'PLAIN-MD4',
  'PLAIN-MD5',
  'LDAP-MD5',
  'SMD5',
  'MD5',
  'MD5-CRYPT',
  'DES-CRYPT',
  'SHA',
  'SHA1',
  'SHA256',
  'SHA512',
  'SCRAM-SHA-1',
  'SCRAM-SHA-256',
  'CRAM-MD5',
  'DIGEST-MD5',
  'HMAC-MD5',
  'LANMAN',
  'NTLM',
  'NT',
  'OTP',
  'SKEY',
  'RPA',
]);

const OFFERED =
  'there are BLF-CRYPT, ARGON2ID, ARGON2I, SHA512-CRYPT, SHA256-CRYPT, PBKDF2, SSHA512, SSHA256 and SSHA';

/** What crypt(3) makes says itself how. */
function crypted(hash: string): DovecotHash | string {
  if (hash.startsWith('$2')) return bcrypt(hash);
  if (hash.startsWith('$argon2')) return argon2(hash);
  if (/^\$[56]\$/.test(hash)) return shaCrypt(hash);
  return `a hash of crypt(3) is of a kind that cannot be verified here; ${OFFERED}`;
}

function bcrypt(hash: string): DovecotHash | string {
  const rounds = Number(BCRYPT.exec(hash)?.[1]);
  if (Number.isNaN(rounds)) return 'is no hash of bcrypt';
  if (rounds < 4 || rounds > MOST_BCRYPT) return `has cost ${rounds}; 4 to ${MOST_BCRYPT} is taken`;
  // What is beyond 72 bytes never counted.
  return aside('bcrypt', hash, 2 ** rounds * 170, 72);
}

function argon2(hash: string): DovecotHash | string {
  const [memory, passes, lanes] = (ARGON2.exec(hash) ?? []).slice(1).map(Number);
  if (memory === undefined || passes === undefined || lanes === undefined)
    return 'is no hash of Argon2 (version 19)';
  const isPossible = passes >= 1 && lanes >= 1 && memory >= 8 * lanes;
  if (!isPossible || lanes > MOST_LANES || memory > MOST_ARGON2_MEMORY || memory * passes > MOST_ARGON2_WORK)
    return `asks for m=${memory},t=${passes},p=${lanes}; at most 1 GiB, 4 GiB in all passes and ${MOST_LANES} lanes are taken`;
  return aside('argon2', hash, memory * passes * 4);
}

function shaCrypt(hash: string): DovecotHash | string {
  const match = SHA_CRYPT.exec(hash);
  const length = match?.[1] === '5' ? 43 : 86;
  if (match === null || match[3]!.length !== length) return 'is no hash of SHA-256 or SHA-512 crypt';
  const rounds = Number(match[2] ?? 5000);
  if (rounds < 1000 || rounds > MOST_SHA_ROUNDS)
    return `asks for ${rounds} rounds; 1000 to ${MOST_SHA_ROUNDS} are taken`;
  return aside('sha-crypt', hash, rounds * 5);
}

function pbkdf2Hash(hash: string): DovecotHash | string {
  const [, salt, count, expected] = PBKDF2.exec(hash) ?? [];
  if (salt === undefined) return 'is no hash of PBKDF2 as Dovecot has it';
  const rounds = Number(count);
  if (rounds < 1 || rounds > MOST_PBKDF2_ROUNDS)
    return `asks for ${rounds} rounds; at most ${MOST_PBKDF2_ROUNDS} are taken`;
  const wanted = Buffer.from(expected!, 'hex');
  return {
    cost: Math.ceil(rounds * 0.6),
    async verify(password) {
      return timingSafeEqual(await promisify(pbkdf2)(password, salt, rounds, wanted.length, 'sha1'), wanted);
    },
  };
}

function salted(
  scheme: string,
  hash: string,
  encoding: 'base64' | 'hex',
  algorithm: string,
  bytes: number,
): DovecotHash | string {
  const form = encoding === 'hex' ? /^(?:[0-9a-f]{2})+$/i : /^[A-Za-z0-9+/]+={0,2}$/;
  const all = form.test(hash) ? Buffer.from(hash, encoding) : Buffer.alloc(0);
  if (all.length <= bytes || all.length > bytes + LONGEST_SALT) return `is no hash of ${scheme}`;
  const [wanted, salt] = [all.subarray(0, bytes), all.subarray(bytes)];
  return {
    cost: NEXT_TO_NOTHING,
    verify: (password) =>
      Promise.resolve(timingSafeEqual(createHash(algorithm).update(password).update(salt).digest(), wanted)),
  };
}

type Aside = SideThread<HashTold, HashAnswer>;

/** Threads that have nothing to do. As many work at a time as the checker of passwords lets. */
const idle: Aside[] = [];
let count = 0;
/** Mebibytes: the memory of Argon2 is not in it. */
const HEAP = 256;
const SCRIPT = new URL('./hash-thread.js', import.meta.url);

/** A hash that would hold the event loop: another thread computes it. @param most bytes of a password that count */
function aside(
  kind: 'bcrypt' | 'argon2' | 'sha-crypt',
  hash: string,
  cost: number,
  most = Infinity,
): DovecotHash {
  return {
    cost,
    async verify(password) {
      // An empty one is never right, and the libraries take none.
      const given = password.length === 0 ? Buffer.from(' ') : password.subarray(0, most);
      return (await onThread({ kind, hash, password: given })) === true && password.length > 0;
    },
  };
}

/** The hash of Argon2id, made where it holds no event loop. @param password not empty */
export async function newArgon2(password: Uint8Array, options: NewHash): Promise<string> {
  return String(await onThread({ kind: 'new', options, password }));
}

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never;

async function onThread(told: WithoutId<HashTold>): Promise<boolean | string> {
  const thread = idle.pop() ?? new SideThread({ script: SCRIPT, heap: HEAP, work: 'hashing a password' });
  try {
    return (await thread.ask({ id: ++count, ...told })).said;
  } finally {
    idle.push(thread);
  }
}
