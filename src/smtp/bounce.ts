/*
 * Whether a message reports a bounce: RFC 3464, and RFC 6533 for addresses beyond ASCII. A report may also say that a
 * message was delayed, relayed, expanded or delivered: that is no bounce.
 */

/** Multiparts within multiparts that are looked into. */
const DEEPEST = 4;
const REPORT = new Set(['message/delivery-status', 'message/global-delivery-status']);
const FAILED = /^action[ \t]*:[ \t]*failed\b/im;
const HEADER_END = /\r\n\r\n/;

/** @param head the beginning of the message, header and all; what comes later is not looked at */
export function reportsFailure(head: Buffer): boolean {
  return holdsFailure(head.toString('latin1'), 0);
}

function holdsFailure(entity: string, depth: number): boolean {
  const end = HEADER_END.exec(entity)?.index;
  if (end === undefined) return false;
  const { type, boundary } = contentType(entity.slice(0, end));
  const body = entity.slice(end + 4);
  if (REPORT.has(type)) return FAILED.test(body);
  if (!type.startsWith('multipart/') || boundary === undefined || depth === DEEPEST) return false;
  return partsOf(body, boundary).some((part) => holdsFailure(part, depth + 1));
}

/** What lies between the delimiters; the last part may be cut. */
function partsOf(body: string, boundary: string): readonly string[] {
  const [, ...parts] = `\r\n${body}`.split(`\r\n--${boundary}`);
  return parts
    .filter((part) => !part.startsWith('--'))
    .map((part) => {
      // The rest of the delimiter's line may be white space; a part may have no header at all.
      const line = part.indexOf('\r\n');
      return line < 0 ? '' : part.slice(line + 2);
    });
}

/** The Content-Type of a header, in lower case, and the boundary as it is written. */
function contentType(header: string): { readonly type: string; readonly boundary: string | undefined } {
  const field = header
    .replace(/\r\n(?=[ \t])/g, '')
    .split('\r\n')
    .find((line) => /^content-type[ \t]*:/i.test(line));
  if (field === undefined) return { type: '', boundary: undefined };
  const [type = '', ...parameters] = field.slice(field.indexOf(':') + 1).split(';');
  const boundary = parameters.map((each) => /^[ \t]*boundary[ \t]*=(.*)$/i.exec(each)?.[1]?.trim());
  const written = boundary.find((each) => each !== undefined);
  return { type: type.trim().toLowerCase(), boundary: written?.replace(/^"(.*)"$/, '$1') };
}
