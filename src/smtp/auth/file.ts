import type { PasswordChecker } from '../../accounts/passwords.js';
import type { UserRecord, UserTable } from '../../accounts/users.js';
import { MINUTE } from '../../kernel/time.js';
import { normalizeAccount } from '../../sending/identity.js';
import type { AuthBackend } from './port.js';

/**
 * The users file as back end.
 *
 * @param users gives the current table, so that a changed file counts at once
 */
export function fileBackend(
  users: () => UserTable,
  checker: Pick<PasswordChecker, 'verify' | 'pending'>,
): AuthBackend {
  let known: { readonly table: UserTable; readonly dearest: UserRecord | undefined } | undefined;
  /** The user whose password costs most to check. */
  const dearest = (): UserRecord | undefined => {
    const table = users();
    if (known?.table !== table) {
      let most: UserRecord | undefined;
      for (const user of table.values()) if (user.cost > (most?.cost ?? 0)) most = user;
      known = { table, dearest: most };
    }
    return known.dearest;
  };
  /** Of an unknown or disabled user there is none. */
  const stored = (account: string): string | undefined => {
    const user = users().get(account);
    return user === undefined || user.disabled ? undefined : user.password;
  };
  return {
    memory: 10 * MINUTE,
    get pending() {
      return checker.pending;
    },
    async check({ name, password, client: { network } }) {
      const account = normalizeAccount(name);
      const { cost, password: like } = dearest() ?? {};
      const isRight = await checker.verify(stored(account), password, { network, cost, like });
      return isRight ? account : undefined;
    },
    knows: (account) => stored(account) !== undefined,
    // A changed or removed user is forgotten at once.
    dependsOn: (name) => stored(normalizeAccount(name)) ?? '',
    probe: () => Promise.resolve({ ok: true, detail: 'the users file' }),
    close: () => undefined,
  };
}
