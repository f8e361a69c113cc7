import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { InvalidInput } from '../kernel/errors.js';
import { Turns } from '../kernel/turns.js';
import { newArgon2, readDovecotHash } from './dovecot-hashes.js';

/*
 * Passwords are kept as scrypt hashes in the PHC string format:
 *   $scrypt$ln=15,r=8,p=1$<salt>$<hash>       (salt and hash in base64 without padding)
 * or, where they were imported, as Dovecot keeps them, see dovecot-hashes.ts. ln is the logarithm of N. These parameters cost 32 MiB and some 60 to 100 ms; OWASP's next step, ln=17, would
 * cost a mail server 128 MiB for each login under way.
 */

interface Parameters {
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

interface StoredPassword extends Parameters {
  readonly salt: Buffer;
  readonly hash: Buffer;
}

const DEFAULT: Parameters = { ln: 15, r: 8, p: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Bytes of UTF-8. Longer ones never match, and cost no more than this. */
export const LONGEST_PASSWORD = 1024;
/** A users file must not be able to ask for gigabytes at each login: 2^20 blocks of 128 * 8 bytes are 1 GiB. */
const MOST: Parameters = { ln: 20, r: 32, p: 16 };
const MOST_MEMORY = 1024 ** 3;

/**
 * Hashes a new password with a fresh salt.
 *
 * @param parameters for tests, which cannot wait; the default is right for everything else
 * @throws InvalidInput if it is empty or longer than {@link LONGEST_PASSWORD}
 */
export async function hashPassword(password: string, parameters: Parameters = DEFAULT): Promise<string> {
  const bytes = usablePassword(password);
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(bytes, { ...parameters, salt, hash: Buffer.alloc(HASH_BYTES) });
  const { ln, r, p } = parameters;
  return `$scrypt$ln=${ln},r=${r},p=${p}$${base64(salt)}$${base64(hash)}`;
}

/** @throws InvalidInput */
function usablePassword(password: string): Buffer {
  const bytes = passwordBytes(password);
  if (bytes.length === 0) throw new InvalidInput('password', 'the password is empty');
  if (bytes.length > LONGEST_PASSWORD) {
    throw new InvalidInput('password', `the password is longer than ${LONGEST_PASSWORD} bytes`);
  }
  return bytes;
}

/** Characters of a password that somebody signs in with. Who has a shorter one from before goes on with it. */
export const SHORTEST_OF_ADMIN = 12;
/** OWASP's first choice of Argon2id, in KiB: people sign in with it, and no mail waits for them. */
const OF_ADMIN = { memorySize: 19 * 1024, iterations: 2, parallelism: 1, hashLength: HASH_BYTES } as const;
/** Checked where there is no such administrator: that takes as long, and is never right. */
export const NO_ADMIN =
  '$argon2id$v=19$m=19456,t=2,p=1$fmf2XOzHN8NvVB2HNjp9Pg$ZiCEdkHXmJSpguYb+TkM9uIQ8DK4K3+3h8j2JdAVCuk';

/**
 * Hashes a new password of an administrator with a fresh salt.
 *
 * @throws InvalidInput if it is shorter than {@link SHORTEST_OF_ADMIN} or longer than {@link LONGEST_PASSWORD}
 */
export async function hashPasswordOfAdmin(password: string): Promise<string> {
  if (password.length < SHORTEST_OF_ADMIN)
    throw new InvalidInput('password', `the password must have at least ${SHORTEST_OF_ADMIN} characters`);
  return newArgon2(usablePassword(password), { ...OF_ADMIN, salt: randomBytes(SALT_BYTES) });
}

/** A stored password that can be checked. */
interface Checkable {
  /** In blocks of 128 bytes that scrypt goes through; of other algorithms so many as take about as long. */
  readonly cost: number;
  verify(password: string): Promise<boolean>;
}

/** Why a stored password cannot be checked, and what to do; undefined if it can. Never shows it. */
export function hashFault(stored: string): string | undefined {
  const read = faultOrCost(stored);
  return typeof read === 'string' ? read : undefined;
}

/** What a check of a stored password costs, in blocks of 128 bytes that scrypt goes through; 0 for what is no hash. */
export function passwordCost(stored: string): number {
  const read = faultOrCost(stored);
  return typeof read === 'string' ? 0 : read;
}

/** What {@link hashFault} says, or else what {@link passwordCost} says: a large file is read once for both. */
export function faultOrCost(stored: string): string | number {
  const read = checkable(stored);
  return typeof read === 'string' ? read : read.cost;
}

function checkable(stored: string): Checkable | string {
  if (/^(?:\{|\$(?!scrypt\$))/.test(stored)) {
    const hash = readDovecotHash(stored);
    if (typeof hash === 'string') return hash;
    return { cost: hash.cost, verify: (password) => hash.verify(cutTo(Buffer.from(password, 'utf8'))) };
  }
  const match = STORED.exec(stored);
  const parameters = match === null ? undefined : parametersOf(match);
  if (match === null || parameters === undefined)
    return 'is no hash that can be checked; set it with stopgap user passwd (plain passwords are never stored)';
  return {
    cost: costOf(parameters),
    async verify(password) {
      const salt = Buffer.from(match[4]!, 'base64');
      const hash = Buffer.from(match[5]!, 'base64');
      const stored = { ...parameters, salt, hash };
      return timingSafeEqual(await derive(cutTo(passwordBytes(password)), stored), hash);
    },
  };
}

function cutTo(bytes: Buffer): Buffer {
  return bytes.subarray(0, LONGEST_PASSWORD);
}

function costOf({ ln, r, p }: Parameters): number {
  return 2 ** ln * r * p;
}

export interface Check {
  /** Of the client: where checks wait, the networks take turns. */
  readonly network?: string | undefined;
  /** What each check is to cost, see {@link passwordCost}: entries that cost less are told from none by nothing. */
  readonly cost?: number | undefined;
  /** The stored password whose work is done where there is none; scrypt as we make it by default. */
  readonly like?: string | undefined;
}

export interface PasswordCheckerOptions {
  /** Hashes under way at a time. By default one for each processor but one, at least 1, at most 4. */
  readonly concurrency?: number;
  /** Checks that may wait. 500 by default: on one processor that is the wait a client still puts up with. */
  readonly queue?: number;
}

/**
 * Checks passwords on the thread pool, a few at a time, so that a storm of logins can take neither all memory
 * nor every thread that the file system needs too.
 */
export class PasswordChecker {
  readonly #turns: Turns;
  readonly #salt = randomBytes(SALT_BYTES);
  readonly #nobody = randomBytes(HASH_BYTES);

  constructor(options: PasswordCheckerOptions = {}) {
    this.#turns = new Turns({
      atOnce: options.concurrency ?? Math.min(4, Math.max(1, availableParallelism() - 1)),
      queue: options.queue ?? 500,
    });
  }

  /** Checks that run or wait, for metrics. */
  get pending(): number {
    return this.#turns.pending;
  }

  /**
   * Checks a password. Without a stored one (an unknown user) the same work is done, and the answer is no.
   *
   * @throws StopgapError `unavailable` if too many checks wait already
   */
  async verify(
    stored: string | undefined,
    password: string,
    { network = '', cost = costOf(DEFAULT), like }: Check = {},
  ): Promise<boolean> {
    const known = stored === undefined ? undefined : checkableOrNone(stored);
    const checked = known ?? (like === undefined ? undefined : checkableOrNone(like));
    const bytes = passwordBytes(password);
    return this.#turns.run(network, async () => {
      const isRight = (await checked?.verify(password)) === true;
      await this.#spend(cutTo(bytes), cost - (checked?.cost ?? 0));
      return isRight && known !== undefined && bytes.length <= LONGEST_PASSWORD;
    });
  }

  /** Does work that proves nothing, so that all checks cost the same. Less than one block of r = 8 is not made up for. */
  async #spend(password: Buffer, cost: number): Promise<void> {
    const { r, p } = DEFAULT;
    let left = Math.floor(cost / r);
    while (left >= 2) {
      const ln = Math.min(DEFAULT.ln, Math.floor(Math.log2(left)));
      await derive(password, { ln, r, p, salt: this.#salt, hash: this.#nobody });
      left -= 2 ** ln;
    }
  }
}

function checkableOrNone(stored: string): Checkable | undefined {
  const read = checkable(stored);
  return typeof read === 'string' ? undefined : read;
}

/** NFC, as RFC 8265 has it: the same password typed on another system gives the same bytes. */
function passwordBytes(password: string): Buffer {
  return Buffer.from(password.normalize('NFC'), 'utf8');
}

function derive(password: Buffer, { ln, r, p, salt, hash }: StoredPassword): Promise<Buffer> {
  const N = 2 ** ln;
  // Node counts some overhead beside 128 * N * r bytes; its own limit of 32 MiB is just too small for it.
  const maxmem = 128 * r * (N + p + 2) + 1024 ** 2;
  return new Promise((resolve, reject) => {
    scrypt(password, salt, hash.length, { N, r, p, maxmem }, (error, derived) => {
      if (error === null) resolve(derived);
      else reject(error);
    });
  });
}

const STORED =
  /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;

function parametersOf(match: RegExpExecArray): Parameters | undefined {
  const [ln, r, p] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (ln < 1 || ln > MOST.ln || r < 1 || r > MOST.r || p < 1 || p > MOST.p) return undefined;
  return 128 * r * 2 ** ln > MOST_MEMORY ? undefined : { ln, r, p };
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replace(/={1,2}$/, '');
}
