import { PasswordChecker } from '../../../src/accounts/passwords.js';
import { SideThread } from '../../../src/runtime/side-thread.js';

/*
 * Where this is imported a password is really checked against a hash the first time only; the answer is always the same,
 * and each check costs as much as a whole test. Where a test measures what a check costs it takes a new password each time, and
 * {@link inEarnest}.
 */
const { verify } = Object.getOwnPropertyDescriptors(PasswordChecker.prototype);
const checked = new Map<string, Promise<boolean>>();

PasswordChecker.prototype.verify = function (stored, password, check = {}) {
  const { network: _, ...of } = check;
  const key = JSON.stringify([stored, password, of]);
  const known = checked.get(key);
  if (known !== undefined) return known;
  const answer = verify.value!.call(this, stored, password, check);
  checked.set(key, answer);
  // One that could not be made says nothing of the next.
  answer.catch(() => checked.delete(key));
  return answer;
};

/** What the thread that hashes is asked, see dovecot-hashes.ts. Other threads are asked without a password. */
interface HashAsked {
  readonly id: number;
  readonly kind?: string;
  readonly password?: Uint8Array;
  readonly hash?: string;
}
interface HashSaid {
  readonly id: number;
  readonly said: unknown;
}
type Asking = (this: unknown, asked: HashAsked) => Promise<HashSaid>;

const ask = Object.getOwnPropertyDescriptor(SideThread.prototype, 'ask')!.value as Asking;
/** By hash: what it was made of in this process. Guesses are compared with that: `unit/accounts` shows that the hash says the same. */
const madeOf = new Map<string, string>();

let isEarnest = false;

/** Each new password is hashed while this goes on. */
export async function inEarnest<T>(act: () => Promise<T>): Promise<T> {
  isEarnest = true;
  try {
    return await act();
  } finally {
    isEarnest = false;
  }
}

const askedOnce: Asking = async function (asked) {
  const { id, kind, password, hash = '' } = asked;
  if (password === undefined) return ask.call(this, asked);
  const text = Buffer.from(password).toString('base64');
  const known = madeOf.get(hash);
  if (known !== undefined && !isEarnest) return { id, said: text === known };
  const answer = await ask.call(this, asked);
  if (kind === 'new') madeOf.set(String(answer.said), text);
  return answer;
};
SideThread.prototype.ask = askedOnce;
