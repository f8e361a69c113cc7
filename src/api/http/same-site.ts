import type { Request } from 'express';
import { Problem } from './problem.js';

/** Methods that change nothing. */
const LOOKS = new Set(['GET', 'HEAD', 'OPTIONS']);

/**
 * Refuses a change that a page of another site has a browser ask for: the browser adds the cookie by itself. It says where
 * a request comes from in Sec-Fetch-Site, an old one in Origin. Who sends neither is no browser.
 *
 * @param publicUrl under which the API is reached
 * @throws Problem 403
 */
export function refuseCrossSite(request: Request, publicUrl: string | undefined): void {
  if (LOOKS.has(request.method)) return;
  const site = request.get('sec-fetch-site');
  if (site === 'same-origin' || site === 'none') return;
  const origin = request.get('origin');
  if (site === undefined && (origin === undefined || isOwn(origin, request.get('host'), publicUrl))) return;
  throw new Problem(403, 'a page of another site asked for this: it is done only from the own page', {
    code: 'forbidden',
  });
}

function isOwn(origin: string, host: string | undefined, publicUrl: string | undefined): boolean {
  const own = publicUrl === undefined ? undefined : new URL(publicUrl).origin;
  if (origin === own) return true;
  return host !== undefined && [`http://${host}`, `https://${host}`].includes(origin.toLowerCase());
}
