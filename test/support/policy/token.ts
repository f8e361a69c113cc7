import type { Role } from '../../../src/accounts/roles.js';
import { addToken } from '../../../src/accounts/tokens.js';
import type { Stopgap } from '../smtp/stopgap.js';

/** A token of a running Stopgap, which has that name. @param domains for the role domain */
export async function tokenOf(
  stopgap: Stopgap,
  name: string,
  role: Role = 'server',
  domains: readonly string[] = [],
): Promise<string> {
  const file = `${stopgap.dir}/data/tokens.yaml`;
  const token = await addToken({ file, name, role, domains, now: Date.now() });
  await stopgap.app.reload();
  return token;
}
