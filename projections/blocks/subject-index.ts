import ipaddr from 'ipaddr.js';
import { isDotted, readIpv6 } from '../../src/sending/identity.js';
import type { SenderIdentity, Subject } from '../../src/sending/subjects.js';
import { FilteredMap, HASH_SEED, HashFilter, hashOf, hashStep } from './filtered-map.js';
import { DomainPatterns, PatternIndex } from './pattern-index.js';

const DOT = 46;

/**
 * Values by subject, found by who is sending: exact accounts, addresses and names, `*` patterns, domains with their
 * subdomains, addresses and networks. A look-up walks each name of the sender once. It slices a name and reads a map
 * only if something may be found: nearly every sender has no block at all.
 */
export class SubjectIndex<Value> {
  readonly #accounts = new FilteredMap<Value>();
  readonly #addresses = new FilteredMap<Value>();
  readonly #addressPatterns = new DomainPatterns<Value>();
  readonly #domains = new FilteredMap<Value>();
  readonly #ehlos = new FilteredMap<Value>();
  readonly #ehloPatterns = new PatternIndex<Value>();
  readonly #networks = new Networks<Value>();
  /** Values recorded for an IP address that is none. */
  readonly #ips = new Map<string, Value>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get({ type, value }: Subject): Value | undefined {
    switch (type) {
      case 'account':
        return this.#accounts.get(value);
      case 'domain':
        return this.#domains.get(value);
      case 'address':
        if (!value.includes('*')) return this.#addresses.get(value);
        return this.#addressPatterns.get(...halves(value));
      case 'ehlo':
        return value.includes('*') ? this.#ehloPatterns.get(value) : this.#ehlos.get(value);
      case 'ip': {
        const key = read(value);
        return key === undefined ? this.#ips.get(value) : this.#networks.get(key);
      }
    }
  }

  set(subject: Subject, item: Value): void {
    if (this.get(subject) === undefined) this.#size++;
    const { type, value } = subject;
    switch (type) {
      case 'account':
        return this.#accounts.set(value, item);
      case 'domain':
        return this.#domains.set(value, item);
      case 'address':
        if (!value.includes('*')) return this.#addresses.set(value, item);
        return this.#addressPatterns.set(...halves(value), item);
      case 'ehlo':
        return value.includes('*') ? this.#ehloPatterns.set(value, item) : this.#ehlos.set(value, item);
      case 'ip': {
        const key = read(value);
        if (key === undefined) this.#ips.set(value, item);
        else this.#networks.set(key, item);
      }
    }
  }

  delete(subject: Subject): void {
    if (this.get(subject) === undefined) return;
    this.#size--;
    const { type, value } = subject;
    switch (type) {
      case 'account':
        return this.#accounts.delete(value);
      case 'domain':
        return this.#domains.delete(value);
      case 'address':
        if (!value.includes('*')) return this.#addresses.delete(value);
        return this.#addressPatterns.delete(...halves(value));
      case 'ehlo':
        return value.includes('*') ? this.#ehloPatterns.delete(value) : this.#ehlos.delete(value);
      case 'ip': {
        const key = read(value);
        if (key === undefined) this.#ips.delete(value);
        else this.#networks.delete(key);
      }
    }
  }

  /** Calls back for every value whose subject covers this sender; the caller checks the direction. */
  forEachMatch(sender: SenderIdentity, callback: (value: Value) => void): void {
    const { account, address, ehlo, ip } = sender;
    if (account !== undefined) {
      const at = account.lastIndexOf('@');
      const domainHash = at < 0 ? HASH_SEED : this.#walkDomain(account, at, callback);
      const hash = hashFrom(domainHash, account, at < 0 ? account.length : at + 1);
      if (this.#accounts.mayHave(hash)) give(this.#accounts.get(account), callback);
      if (address === account) this.#matchAddress(account, at, domainHash, hash, callback);
    }
    if (address !== undefined && address !== '' && address !== account) {
      const at = address.lastIndexOf('@');
      const domainHash = at < 0 ? HASH_SEED : this.#walkDomain(address, at, callback);
      const hash = hashFrom(domainHash, address, at < 0 ? address.length : at + 1);
      this.#matchAddress(address, at, domainHash, hash, callback);
    }
    if (ehlo !== undefined) {
      if (this.#ehlos.size > 0 && this.#ehlos.mayHave(hashOf(ehlo))) give(this.#ehlos.get(ehlo), callback);
      this.#ehloPatterns.forEachMatch(ehlo, callback);
    }
    if (ip !== undefined) {
      this.#networks.forEachMatch(ip, callback);
      if (this.#ips.size > 0) give(this.#ips.get(ip), callback);
    }
  }

  #matchAddress(
    address: string,
    at: number,
    domainHash: number,
    hash: number,
    callback: (value: Value) => void,
  ): void {
    if (this.#addresses.mayHave(hash)) give(this.#addresses.get(address), callback);
    if (at >= 0 && this.#addressPatterns.mayHave(domainHash)) {
      this.#addressPatterns.forEachMatch(address.slice(at + 1), address.slice(0, at), callback);
    }
  }

  /**
   * Matches the domain after the `@`, and each domain above it. A name of one label alone covers only itself:
   * nobody means all of `com`.
   *
   * @returns the hash of the whole domain
   */
  #walkDomain(address: string, at: number, callback: (value: Value) => void): number {
    let hash = HASH_SEED;
    let labels = 1;
    for (let index = address.length - 1; index > at; index--) {
      const code = address.charCodeAt(index);
      if (code === DOT) {
        if (labels > 1 && this.#domains.mayHave(hash)) {
          give(this.#domains.get(address.slice(index + 1)), callback);
        }
        labels++;
      }
      hash = hashStep(hash, code);
    }
    if (this.#domains.mayHave(hash)) give(this.#domains.get(address.slice(at + 1)), callback);
    return hash;
  }
}

/** Continues a hash from `end` to the beginning of the text. */
function hashFrom(hash: number, text: string, end: number): number {
  let longer = hash;
  for (let index = end - 1; index >= 0; index--) longer = hashStep(longer, text.charCodeAt(index));
  return longer;
}

/** The domain and the local part of a pattern. */
function halves(pattern: string): [domain: string, local: string] {
  const at = pattern.lastIndexOf('@');
  return [pattern.slice(at + 1), pattern.slice(0, at)];
}

function give<Value>(value: Value | undefined, callback: (value: Value) => void): void {
  if (value !== undefined) callback(value);
}

/** Scratch for one call at a time: nothing here waits. */
const PARTS = new Uint16Array(8);

/**
 * Values by IPv4 or IPv6 address or network: one map for every prefix length in use. Keys are the numbers that the
 * masked bits make; for IPv6, which does not fit into a number, a string of up to eight 16-bit characters.
 */
class Networks<Value> {
  readonly #ipv4 = new Map<number, Map<number, Value>>();
  readonly #ipv6 = new Map<number, Map<string, Value>>();
  /** The same lengths, longest first, for loops without an iterator. */
  #lengths4: readonly number[] = [];
  #lengths6: readonly number[] = [];
  readonly #filter = new HashFilter();
  #size = 0;

  get({ length, four, six }: NetworkKey): Value | undefined {
    return six === undefined ? this.#ipv4.get(length)?.get(four) : this.#ipv6.get(length)?.get(six);
  }

  set({ length, four, six }: NetworkKey, value: Value): void {
    const isNew =
      six === undefined ? put(this.#ipv4, length, four, value) : put(this.#ipv6, length, six, value);
    if (!isNew) return;
    this.#size++;
    this.#sort();
    if (this.#filter.hasRoom) this.#filter.add(six === undefined ? hash4(four, length) : hash6(six));
    else this.#refill();
  }

  delete({ length, four, six }: NetworkKey): void {
    const gone = six === undefined ? take(this.#ipv4, length, four) : take(this.#ipv6, length, six);
    if (gone) this.#size--;
    this.#sort();
  }

  /** Calls back for every network that holds this address, which is in normal form. */
  forEachMatch(ip: string, callback: (value: Value) => void): void {
    if (ip.includes(':')) {
      if (this.#lengths6.length === 0 || !readIpv6(ip, PARTS)) return;
      for (const length of this.#lengths6) {
        if (!this.#filter.has(hashParts(PARTS, length))) continue;
        const value = this.#ipv6.get(length)!.get(key6(PARTS, length));
        if (value !== undefined) callback(value);
      }
    } else if (this.#lengths4.length > 0) {
      const number = ipv4Number(ip);
      for (const length of this.#lengths4) {
        const masked = mask4(number, length);
        if (!this.#filter.has(hash4(masked, length))) continue;
        const value = this.#ipv4.get(length)!.get(masked);
        if (value !== undefined) callback(value);
      }
    }
  }

  #sort(): void {
    if (this.#lengths4.length !== this.#ipv4.size)
      this.#lengths4 = [...this.#ipv4.keys()].sort((a, b) => b - a);
    if (this.#lengths6.length !== this.#ipv6.size)
      this.#lengths6 = [...this.#ipv6.keys()].sort((a, b) => b - a);
  }

  #refill(): void {
    this.#filter.reset(this.#size);
    for (const [length, map] of this.#ipv4)
      for (const key of map.keys()) this.#filter.add(hash4(key, length));
    for (const map of this.#ipv6.values()) for (const key of map.keys()) this.#filter.add(hash6(key));
  }
}

function put<Key, Value>(
  maps: Map<number, Map<Key, Value>>,
  length: number,
  key: Key,
  value: Value,
): boolean {
  let map = maps.get(length);
  if (map === undefined) maps.set(length, (map = new Map<Key, Value>()));
  const isNew = !map.has(key);
  map.set(key, value);
  return isNew;
}

function take<Key, Value>(maps: Map<number, Map<Key, Value>>, length: number, key: Key): boolean {
  const map = maps.get(length);
  if (map === undefined || !map.delete(key)) return false;
  if (map.size === 0) maps.delete(length);
  return true;
}

/** `four` is the key for IPv4, `six` for IPv6. */
interface NetworkKey {
  readonly length: number;
  readonly four: number;
  readonly six: string | undefined;
}

/** Undefined if the text is no address or network. */
function read(network: string): NetworkKey | undefined {
  const slash = network.indexOf('/');
  const ip = slash < 0 ? network : network.slice(0, slash);
  const six = ip.includes(':');
  const length = slash < 0 ? (six ? 128 : 32) : Number(network.slice(slash + 1));
  // The library takes ten times as long, and is asked only for what is in another form.
  const isPlain = length <= (six ? 128 : 32) && (slash < 0 || /^\d+$/.test(network.slice(slash + 1)));
  if (isPlain && (six ? readIpv6(ip, PARTS) : isDotted(ip))) return keyOf(six ? PARTS : ip, length);
  if (!ipaddr.isValid(network) && !ipaddr.isValidCIDR(network)) return undefined;
  return keyOf(six ? ipaddr.IPv6.parse(ip).parts : ip, length);
}

/** @param ip the parts of an IPv6 address, or the text of an IPv4 one */
function keyOf(ip: ArrayLike<number> | string, length: number): NetworkKey {
  return typeof ip === 'string'
    ? { length, four: mask4(ipv4Number(ip), length), six: undefined }
    : { length, four: 0, six: key6(ip, length) };
}

/**
 * Dotted IPv4 as an unsigned 32-bit number. A text that is no address also gives a number: this is for look-ups, not
 * for storage.
 */
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

function mask4(number: number, length: number): number {
  return Math.floor(number / 2 ** (32 - length));
}

function masked(part: number, index: number, length: number): number {
  const bits = length - index * 16;
  return bits >= 16 ? part : part & (0xffff << (16 - bits));
}

function key6(parts: ArrayLike<number>, length: number): string {
  let key = '';
  for (let index = 0; index * 16 < length; index++) {
    key += String.fromCharCode(masked(parts[index]!, index, length));
  }
  return key;
}

function hash4(number: number, length: number): number {
  return Math.imul(number | 0, 0x9e3779b1) + length;
}

function hash6(key: string): number {
  let hash = key.length;
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x9e3779b1);
  return hash;
}

/** {@link hash6} of the key that {@link key6} would make, without making it. */
function hashParts(parts: Uint16Array, length: number): number {
  let hash = Math.ceil(length / 16);
  for (let index = 0; index * 16 < length; index++) {
    hash = Math.imul(hash ^ masked(parts[index]!, index, length), 0x9e3779b1);
  }
  return hash;
}
