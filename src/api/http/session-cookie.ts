import type { Request } from 'express';

/** `__Host-`: only this host can set it, over HTTPS or on the machine itself, for all paths. */
const NAME = '__Host-stopgap';
const TOKEN = /^[A-Za-z0-9_-]{43}$/;

/** The session's token that a request carries. Of several cookies of the name none counts. */
export function sessionToken(request: Request): string | undefined {
  const own = (request.get('cookie') ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${NAME}=`));
  const token = own[0]?.slice(NAME.length + 1);
  return own.length === 1 && token !== undefined && TOKEN.test(token) ? token : undefined;
}

/** @param token empty: the browser forgets it */
export function sessionCookie(token: string, seconds: number): string {
  return `${NAME}=${token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=${token === '' ? 0 : seconds}`;
}
