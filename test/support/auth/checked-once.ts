import { PasswordChecker } from '../../../src/accounts/passwords.js';
import { SideThread } from '../../../src/runtime/side-thread.js';

/*
 * Where this is imported a password is really checked against a hash the first time only; the answer is always the same,
 * and each check costs as much as a whole test. Where a test measures what a check costs it takes a new password each time.
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

/** What the thread that hashes is asked, see dovecot-hashes.ts. */
interface HashAsked {
  readonly id: number;
  readonly kind?: string;
  readonly password?: Uint8Array;
}
type Asking = (this: unknown, asked: HashAsked) => Promise<unknown>;

const ask = Object.getOwnPropertyDescriptor(SideThread.prototype, 'ask')!.value as Asking;
/** By password: the hashes made of it, each with another salt. */
const made = new Map<string, Promise<unknown>[]>();
/** How many of them the file that is written now has had. */
const given = new Map<string, number>();

/** A new file of administrators begins. It gets the hashes of the ones before, where it has the same passwords; no hash twice. */
export function beginAdminsFile(): void {
  given.clear();
}

const askedOnce: Asking = function (asked) {
  // Other threads are asked for other things.
  if (asked.kind !== 'new' || asked.password === undefined) return ask.call(this, asked);
  const password = Buffer.from(asked.password).toString('base64');
  const hashes = made.get(password) ?? [];
  made.set(password, hashes);
  const index = given.get(password) ?? 0;
  given.set(password, index + 1);
  return (hashes[index] ??= ask.call(this, asked));
};
SideThread.prototype.ask = askedOnce as typeof SideThread.prototype.ask;
