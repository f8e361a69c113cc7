import { domainToASCII } from 'node:url';
import ipaddr from 'ipaddr.js';

/*
 * One normal form for everything that is compared. What a client wrote is kept in events as it was; what is
 * compared goes through here first:
 *   domain   lower case, A-labels (RFC 5890), no trailing dot
 *   address  local part in lower case and NFC, `+tag` dropped; domain as above
 *   account  like an address, but a `+tag` stays: it is part of a login's name
 *   ehlo     like a domain; an address literal keeps its brackets
 *   ip       IPv4 dotted, IPv4-mapped IPv6 as IPv4, IPv6 in RFC 5952 form
 */

const PLAIN_DOMAIN = /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/;

export function normalizeDomain(raw: string): string {
  if (PLAIN_DOMAIN.test(raw)) return raw;
  const lower = raw.normalize('NFC').toLowerCase().replace(/\.+$/, '');
  if (PLAIN_DOMAIN.test(lower) || lower.startsWith('[')) return lower;
  // domainToASCII gives '' for what is no domain: such a name is still compared, as it stands.
  return domainToASCII(lower) || lower;
}

/** Normal form of a return path or recipient. The null sender stays the empty string. */
export function normalizeAddress(raw: string): string {
  const at = raw.lastIndexOf('@');
  const local = normalizeLocal(at < 0 ? raw : raw.slice(0, at));
  const plus = local.indexOf('+');
  const base = plus > 0 ? local.slice(0, plus) : local;
  return at < 0 ? base : `${base}@${normalizeDomain(raw.slice(at + 1))}`;
}

export function normalizeAccount(raw: string): string {
  const trimmed = raw.trim();
  const at = trimmed.lastIndexOf('@');
  if (at < 0) return normalizeLocal(trimmed);
  return `${normalizeLocal(trimmed.slice(0, at))}@${normalizeDomain(trimmed.slice(at + 1))}`;
}

export function normalizeEhlo(raw: string): string {
  return normalizeDomain(raw.trim());
}

/** Normal form of an IP address; undefined where the text is none. */
export function normalizeIp(raw: string): string | undefined {
  try {
    return ipaddr.process(raw.trim().replace(/%.*$/, '')).toString();
  } catch {
    return undefined; // ipaddr.js has no other way to say "not an address"
  }
}

/** What stands behind the last `@`; undefined where there is none. */
export function domainOf(address: string): string | undefined {
  const at = address.lastIndexOf('@');
  return at < 0 || at === address.length - 1 ? undefined : address.slice(at + 1);
}

/**
 * The network that one customer holds: an IPv4 address itself, of IPv6 the /64 (RFC 6177: sites get /64s or
 * more, so single addresses can be changed at will).
 */
export function clientNetwork(ip: string): string {
  if (!ip.includes(':')) return ip;
  const network = ipaddr.IPv6.networkAddressFromCIDR(`${ip}/64`).toString();
  return `${network}/64`;
}

/** True for loopback, private (RFC 1918, RFC 4193), link-local and unspecified addresses. */
export function isPrivateIp(ip: string): boolean {
  const bare = ip.replace(/\/.*$/, '');
  if (!ipaddr.isValid(bare)) return false;
  return ['loopback', 'private', 'linkLocal', 'uniqueLocal', 'unspecified'].includes(
    ipaddr.process(bare).range(),
  );
}

export function isLoopback(ip: string): boolean {
  return ipaddr.isValid(ip) && ipaddr.process(ip).range() === 'loopback';
}

function normalizeLocal(raw: string): string {
  return raw.normalize('NFC').toLowerCase();
}
