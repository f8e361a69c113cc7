import type { Request } from 'express';

/** `__Host-`: only this host can set it, over HTTPS or on the machine itself, for all paths. */
const NAME = '__Host-stopgap';
const TOKEN = /^[A-Za-z0-9_-]{43}$/;

/** The session's token that a request carries. */
export function sessionToken(request: Request): string | undefined {
  return cookieOf(request, NAME, TOKEN);
}

/** @param token empty: the browser forgets it */
export function sessionCookie(token: string, seconds: number): string {
  return hostCookie(NAME, token, 'Strict', token === '' ? 0 : seconds);
}

/** The value of a cookie, if it has that form. Of several of the name none counts. */
export function cookieOf(request: Request, name: string, form: RegExp): string | undefined {
  const own = (request.get('cookie') ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`));
  const value = own[0]?.slice(name.length + 1);
  return own.length === 1 && value !== undefined && form.test(value) ? value : undefined;
}

/** @param sameSite `Lax` for one that must come along when another site sends the browser here */
export function hostCookie(name: string, value: string, sameSite: 'Strict' | 'Lax', seconds: number): string {
  return `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=${sameSite}; Max-Age=${seconds}`;
}
