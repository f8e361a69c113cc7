import type { UserTable } from '../../accounts/users.js';
import type { AuthBackend } from './login-verifier.js';

/**
 * The users file as backend.
 *
 * @param users gives the table that holds now, so that a changed file counts at once
 */
export function fileBackend(users: () => UserTable): AuthBackend {
  let known: { readonly table: UserTable; readonly highest: number } | undefined;
  return {
    highestCost() {
      const table = users();
      if (known?.table !== table) {
        let highest = 0;
        for (const { cost } of table.values()) highest = Math.max(highest, cost);
        known = { table, highest };
      }
      return known.highest === 0 ? undefined : known.highest;
    },
    storedPassword(account) {
      const user = users().get(account);
      return user === undefined || user.disabled ? undefined : user.password;
    },
  };
}
