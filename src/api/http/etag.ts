import type { Request } from 'express';
import { StopgapError } from '../../kernel/errors.js';
import { invalid } from './problem.js';

/** The strong entity tag of a version (RFC 9110, 8.8.3). */
export function etagOf(version: number | string): string {
  return `"${version}"`;
}

/** True where the client holds this very version already: If-None-Match compares weakly (RFC 9110, 13.1.2). */
export function isKnown(request: Request, version: number): boolean {
  const header = request.get('if-none-match');
  if (header === undefined) return false;
  return tags(header, 'If-None-Match').some(
    (tag) => tag === '*' || tag.replace(/^W\//, '') === etagOf(version),
  );
}

/** Whether If-Match lets a version through; undefined where the client did not ask. */
export function ifMatch(request: Request): ((version: number | string) => boolean) | undefined {
  const header = request.get('if-match');
  if (header === undefined) return undefined;
  const wanted = tags(header, 'If-Match');
  return (version) => wanted.includes('*') || wanted.includes(etagOf(version));
}

export function preconditionFailed(what: string, version: number | string): StopgapError {
  return new StopgapError(
    'precondition-failed',
    `${what} has changed since it was read: it is at version ${version}`,
    {
      version,
    },
  );
}

function tags(header: string, name: string): readonly string[] {
  const found = header.split(',').map((tag) => tag.trim());
  if (found.every((tag) => /^(?:\*|(?:W\/)?"[\x21\x23-\x7e]*")$/.test(tag))) return found;
  throw invalid([{ field: name, message: 'must be * or entity tags in double quotes, as ETag gave them' }]);
}
