import { PasswordChecker } from '../../../src/accounts/passwords.js';

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
