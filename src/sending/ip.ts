/*
 * IPv6 in text without a general parser's regular expressions: this is asked for each connection, send and
 * refusal. Only plain forms are read; the rest (zones, embedded IPv4) is the library's.
 */

/**
 * Reads hexadecimal groups with at most one `::` into eight 16-bit parts.
 *
 * @returns false where the text is anything else; `parts` is then undefined in part
 */
export function readIpv6(text: string, parts: Uint16Array): boolean {
  let count = 0;
  let gap = -1;
  let group = 0;
  let digits = 0;
  for (let index = 0; index <= text.length; index++) {
    const code = index < text.length ? text.charCodeAt(index) : 58;
    const digit = hexDigit(code);
    if (digit >= 0) {
      if (++digits > 4) return false;
      group = (group << 4) | digit;
      continue;
    }
    if (code !== 58) return false;
    if (digits > 0) {
      if (count === 8) return false;
      parts[count++] = group;
      group = digits = 0;
      if (index === text.length) break;
      if (index === text.length - 1) return false; // a single colon at the end
      if (text.charCodeAt(index + 1) !== 58) continue;
      if (gap >= 0) return false;
      gap = count;
      index++;
    } else if (index === 0 && text.charCodeAt(1) === 58) {
      gap = 0;
      index++;
    } else if (index < text.length) return false;
  }
  if (gap < 0) return count === 8;
  if (count === 8) return false;
  parts.copyWithin(8 - (count - gap), gap, count);
  parts.fill(0, gap, 8 - (count - gap));
  return true;
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  if (code >= 97 && code <= 102) return code - 87;
  return code >= 65 && code <= 70 ? code - 55 : -1;
}

/** The /64 that an address lies in, as RFC 5952 writes it: behind its first four groups all is zero. */
export function slash64(parts: Uint16Array): string {
  let last = 3;
  while (last >= 0 && parts[last] === 0) last--;
  let text = '';
  for (let index = 0; index <= last; index++)
    text += `${index === 0 ? '' : ':'}${parts[index]!.toString(16)}`;
  return `${text}::/64`;
}
