import type { Request } from 'express';
import { clientNetwork, isWithin, normalizeIp } from '../../sending/identity.js';
import type { ApiDependencies } from '../dependencies.js';

/** Proxies that a request may go through. Hops before these are not looked at. */
const MOST_HOPS = 32;
/** An address as some proxies write it, with a port. */
const WITH_PORT = /^(?:\[([^\]]*)\]|([\d.]+))(?::\d+)?$/;

/**
 * The network of the client. What a proxy that is known says in X-Forwarded-For counts: of the addresses there the last
 * that is not itself a known proxy, since clients can write anything before it.
 */
export function clientOf(
  { socket, headers }: Pick<Request, 'socket' | 'headers'>,
  { trustedProxies = [], proxyAuth }: Pick<ApiDependencies, 'trustedProxies' | 'proxyAuth'>,
): string {
  const proxies = [...trustedProxies, ...(proxyAuth?.from ?? [])];
  let client = normalizeIp(socket.remoteAddress ?? '');
  const hops = [headers['x-forwarded-for'] ?? []].flat().join(',').split(',').slice(-MOST_HOPS);
  for (const hop of hops.reverse()) {
    const ip = client;
    if (ip === undefined || !proxies.some((network) => isWithin(ip, network))) break;
    const [, six, four] = WITH_PORT.exec(hop.trim()) ?? [];
    const before = normalizeIp(six ?? four ?? hop);
    if (before === undefined) break;
    client = before;
  }
  return clientNetwork(client ?? 'unknown');
}
