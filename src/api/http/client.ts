import type { Request } from 'express';
import { clientNetwork, normalizeIp } from '../../sending/identity.js';

/** The network of the client. */
export function clientOf({ socket }: Request): string {
  return clientNetwork(normalizeIp(socket.remoteAddress ?? '') ?? 'unknown');
}
