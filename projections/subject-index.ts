import ipaddr from 'ipaddr.js';
import type { SenderIdentity, Subject } from '../src/sending/subjects.js';
import { PatternIndex } from './pattern-index.js';

/**
 * Values by subject, found by who is sending: exact accounts, addresses and names, `*` patterns, domains with
 * their subdomains, addresses and networks. Every look-up is a bounded number of map accesses, however many
 * values there are.
 */
export class SubjectIndex<Value> {
  readonly #accounts = new Map<string, Value>();
  readonly #addresses = new Map<string, Value>();
  /** Patterns of the local part, by domain. */
  readonly #addressPatterns = new Map<string, PatternIndex<Value>>();
  readonly #domains = new Map<string, Value>();
  readonly #ehlos = new Map<string, Value>();
  readonly #ehloPatterns = new PatternIndex<Value>();
  readonly #ips = new Map<string, Value>();
  readonly #networks = new Networks<Value>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(subject: Subject): Value | undefined {
    return this.#exact(subject).get();
  }

  set(subject: Subject, value: Value): void {
    const slot = this.#exact(subject);
    if (slot.get() === undefined) this.#size++;
    slot.set(value);
  }

  delete(subject: Subject): void {
    const slot = this.#exact(subject);
    if (slot.get() === undefined) return;
    this.#size--;
    slot.delete();
  }

  /** Calls back for every value whose subject covers this sender; the direction is the caller's to judge. */
  forEachMatch(sender: SenderIdentity, callback: (value: Value) => void): void {
    const { account, address, ehlo, ip } = sender;
    if (account !== undefined) {
      give(this.#accounts.get(account), callback);
      if (this.#domains.size > 0) this.#domainsOf(account, callback);
    }
    if (address !== undefined && address !== '') {
      give(this.#addresses.get(address), callback);
      if (this.#addressPatterns.size > 0) {
        const at = address.lastIndexOf('@');
        this.#addressPatterns.get(address.slice(at + 1))?.forEachMatch(address.slice(0, at), callback);
      }
      // Most senders use their own address: its domain was asked about already.
      if (this.#domains.size > 0 && address !== account) this.#domainsOf(address, callback);
    }
    if (ehlo !== undefined) {
      give(this.#ehlos.get(ehlo), callback);
      this.#ehloPatterns.forEachMatch(ehlo, callback);
    }
    if (ip !== undefined) {
      give(this.#ips.get(ip), callback);
      this.#networks.forEachMatch(ip, callback);
    }
  }

  #domainsOf(address: string, callback: (value: Value) => void): void {
    let start = address.lastIndexOf('@') + 1;
    if (start === 0) return;
    for (;;) {
      give(this.#domains.get(address.slice(start)), callback);
      const dot = address.indexOf('.', start);
      if (dot < 0) return;
      start = dot + 1;
    }
  }

  #exact(subject: Subject): Slot<Value> {
    const { type, value } = subject;
    switch (type) {
      case 'account':
        return mapSlot(this.#accounts, value);
      case 'domain':
        return mapSlot(this.#domains, value);
      case 'address': {
        if (!value.includes('*')) return mapSlot(this.#addresses, value);
        const at = value.lastIndexOf('@');
        return nestedSlot(this.#addressPatterns, value.slice(at + 1), value.slice(0, at));
      }
      case 'ehlo':
        return value.includes('*') ? patternSlot(this.#ehloPatterns, value) : mapSlot(this.#ehlos, value);
      case 'ip':
        return value.includes('/') ? this.#networks.slot(value) : mapSlot(this.#ips, value);
    }
  }
}

interface Slot<Value> {
  get(): Value | undefined;
  set(value: Value): void;
  delete(): void;
}

function give<Value>(value: Value | undefined, callback: (value: Value) => void): void {
  if (value !== undefined) callback(value);
}

function mapSlot<Key, Value>(map: Map<Key, Value>, key: Key): Slot<Value> {
  return { get: () => map.get(key), set: (value) => map.set(key, value), delete: () => map.delete(key) };
}

function patternSlot<Value>(index: PatternIndex<Value>, pattern: string): Slot<Value> {
  return {
    get: () => index.get(pattern),
    set: (value) => index.set(pattern, value),
    delete: () => index.delete(pattern),
  };
}

function nestedSlot<Value>(
  map: Map<string, PatternIndex<Value>>,
  domain: string,
  pattern: string,
): Slot<Value> {
  return {
    get: () => map.get(domain)?.get(pattern),
    set(value) {
      let index = map.get(domain);
      if (index === undefined) map.set(domain, (index = new PatternIndex()));
      index.set(pattern, value);
    },
    delete() {
      const index = map.get(domain);
      index?.delete(pattern);
      if (index?.size === 0) map.delete(domain);
    },
  };
}

/** IPv4 and IPv6 networks: one map for every prefix length in use. */
class Networks<Value> {
  readonly #ipv4 = new Map<number, Map<number, Value>>();
  readonly #ipv6 = new Map<number, Map<string, Value>>();

  slot(network: string): Slot<Value> {
    const [address, length] = ipaddr.parseCIDR(network);
    return address.kind() === 'ipv4'
      ? lengthSlot(this.#ipv4, length, maskIpv4(ipv4Number(address.toString()), length))
      : lengthSlot(this.#ipv6, length, maskIpv6((address as ipaddr.IPv6).parts, length));
  }

  forEachMatch(ip: string, callback: (value: Value) => void): void {
    if (ip.includes(':')) {
      if (this.#ipv6.size === 0 || !ipaddr.IPv6.isValid(ip)) return;
      const { parts } = ipaddr.IPv6.parse(ip);
      for (const [length, map] of this.#ipv6) give(map.get(maskIpv6(parts, length)), callback);
    } else if (this.#ipv4.size > 0) {
      const number = ipv4Number(ip);
      for (const [length, map] of this.#ipv4) give(map.get(maskIpv4(number, length)), callback);
    }
  }
}

function lengthSlot<Key, Value>(
  lengths: Map<number, Map<Key, Value>>,
  length: number,
  key: Key,
): Slot<Value> {
  return {
    get: () => lengths.get(length)?.get(key),
    set(value) {
      let map = lengths.get(length);
      if (map === undefined) lengths.set(length, (map = new Map<Key, Value>()));
      map.set(key, value);
    },
    delete() {
      const map = lengths.get(length);
      map?.delete(key);
      if (map?.size === 0) lengths.delete(length);
    },
  };
}

/** Dotted IPv4 as an unsigned 32-bit number; NaN for what is none. */
function ipv4Number(ip: string): number {
  let number = 0;
  let octet = 0;
  for (let index = 0; index < ip.length; index++) {
    const code = ip.charCodeAt(index);
    if (code === 46) {
      number = number * 256 + octet;
      octet = 0;
    } else octet = octet * 10 + code - 48;
  }
  return number * 256 + octet;
}

function maskIpv4(number: number, length: number): number {
  return Math.floor(number / 2 ** (32 - length));
}

function maskIpv6(parts: readonly number[], length: number): string {
  let key = '';
  for (let index = 0; index * 16 < length; index++) {
    const bits = Math.min(16, length - index * 16);
    key += String.fromCharCode(parts[index]! & (0xffff << (16 - bits)));
  }
  return key;
}
