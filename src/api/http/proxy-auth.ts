import type { Request } from 'express';
import { normalizeAdmin } from '../../accounts/admins.js';
import { ROLES } from '../../accounts/roles.js';
import { isWithin, normalizeIp } from '../../sending/identity.js';
import type { Caller, ProxyAuth } from '../dependencies.js';
import { invalid, Problem } from './problem.js';

/** What a name of a person may be that comes from elsewhere. */
export const NAME = /^[\p{L}\p{N}._@-]{1,100}$/u;

/**
 * Who asks, as the proxy says; undefined if it is not the proxy, or it says of nobody. Of several groups the one counts that
 * may do most.
 *
 * @throws Problem 400 for several headers of a name, since one of them may be the client's own; 403 without a group that counts
 */
export function proxied(request: Request, proxy: ProxyAuth): Caller | undefined {
  const ip = normalizeIp(request.socket.remoteAddress ?? '');
  if (ip === undefined || !proxy.from.some((network) => isWithin(ip, network))) return undefined;
  const user = headerOf(request, proxy.userHeader);
  const groups = headerOf(request, proxy.groupsHeader) ?? '';
  if (user === undefined) return undefined;
  const name = normalizeAdmin(user);
  if (!NAME.test(name)) throw invalid([{ field: proxy.userHeader, message: 'is no name of a person' }]);
  const roles = groups.split(',').flatMap((group) => {
    const key = group.trim();
    return Object.hasOwn(proxy.roles, key) ? [proxy.roles[key]!] : [];
  });
  const [role] = roles.sort((a, b) => ROLES.indexOf(b) - ROLES.indexOf(a));
  if (role !== undefined) return { name, role, domains: [], viaProxy: true };
  throw new Problem(
    403,
    `none of the groups of ${name} has a role: api.proxyAuth.roles names those that have`,
    {
      code: 'forbidden',
    },
  );
}

function headerOf({ rawHeaders }: Request, name: string): string | undefined {
  const wanted = name.toLowerCase();
  const values = rawHeaders.filter((_, at) => at % 2 === 1 && rawHeaders[at - 1]!.toLowerCase() === wanted);
  if (values.length > 1) throw invalid([{ field: name, message: 'is there several times' }]);
  // Bytes of headers come as Latin-1; proxies write UTF-8.
  return values[0] === undefined ? undefined : Buffer.from(values[0], 'latin1').toString('utf8');
}
