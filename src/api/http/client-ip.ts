import type { Request } from 'express';
import { isWithin, normalizeIp } from '../../sending/identity.js';

/**
 * From where a request comes: the address of the connection, or what a reverse proxy has added to X-Forwarded-For. What
 * stands before that is the client's own word.
 *
 * @param proxies addresses and networks of those that are believed
 */
export function clientIp(request: Request, proxies: readonly string[]): string | undefined {
  const named = (request.get('x-forwarded-for') ?? '').split(',');
  let ip = normalizeIp(request.socket.remoteAddress ?? '');
  for (;;) {
    const client = ip;
    if (client === undefined || !proxies.some((network) => isWithin(client, network))) return ip;
    const next = normalizeIp(named.pop() ?? '');
    if (next === undefined) return ip;
    ip = next;
  }
}
