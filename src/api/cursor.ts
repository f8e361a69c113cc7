import { InvalidInput } from '../kernel/errors.js';

/** Makes an opaque cursor from the key of the last item of a page. */
export function cursorOf(key: string): string {
  return Buffer.from(`1:${key}`, 'utf8').toString('base64url');
}

/** The key that a cursor was made of. @throws InvalidInput */
export function keyOfCursor(cursor: string): string {
  const text = Buffer.from(cursor, 'base64url').toString('utf8');
  if (text.startsWith('1:') && cursorOf(text.slice(2)) === cursor) return text.slice(2);
  throw new InvalidInput('cursor', 'is none that a list gave: take next of the page before');
}
