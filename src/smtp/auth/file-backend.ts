import type { UserTable } from '../../accounts/users.js';
import type { AuthBackend } from './login-verifier.js';

/**
 * The users file as backend.
 *
 * @param users gives the table that holds now, so that a changed file counts at once
 */
export function fileBackend(users: () => UserTable): AuthBackend {
  return {
    storedPassword(account) {
      const user = users().get(account);
      return user === undefined || user.disabled ? undefined : user.password;
    },
  };
}
