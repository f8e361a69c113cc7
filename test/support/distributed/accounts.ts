import { hashPassword } from '../../../src/accounts/passwords.js';

/** Of every account of a cluster under test. */
export const PASSWORD = 'a-password-of-tests';

/** `name-1@example.com` and so on: each test takes accounts of its own, so that all can share one cluster. */
export function account(name: string, index = 1): string {
  return `${name}-${index}@example.com`;
}

/** A users file in which these may log in. */
export async function usersFile(accounts: readonly string[], secret = PASSWORD): Promise<string> {
  // As cheap as it gets: what is proved here does not depend on the price.
  const password = await hashPassword(secret, { ln: 4, r: 1, p: 1 });
  return JSON.stringify({ users: accounts.map((name) => ({ name, password })) });
}
