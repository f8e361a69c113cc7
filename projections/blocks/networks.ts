import ipaddr from 'ipaddr.js';
import { readIpv6 } from '../../src/sending/ip.js';
import { HashFilter } from './filtered-map.js';

/** Scratch for one call at a time: nothing here waits. */
const PARTS = new Uint16Array(8);

/**
 * Values by IPv4 or IPv6 address or network: one map for every prefix length in use. Keys are the numbers that
 * the masked bits make; of IPv6, which needs more than a number holds, a string of up to eight 16-bit characters.
 */
export class Networks<Value> {
  readonly #ipv4 = new Map<number, Map<number, Value>>();
  readonly #ipv6 = new Map<number, Map<string, Value>>();
  /** The same lengths, longest first, to go through without an iterator. */
  #lengths4: readonly number[] = [];
  #lengths6: readonly number[] = [];
  readonly #filter = new HashFilter();
  #size = 0;

  /** False where the text is no address or network in a form that this reads. */
  static reads(network: string): boolean {
    return ipaddr.isValid(network) || ipaddr.isValidCIDR(network);
  }

  get(network: string): Value | undefined {
    const { length, four, six } = read(network);
    return six === undefined ? this.#ipv4.get(length)?.get(four) : this.#ipv6.get(length)?.get(six);
  }

  set(network: string, value: Value): void {
    const { length, four, six } = read(network);
    const isNew =
      six === undefined ? put(this.#ipv4, length, four, value) : put(this.#ipv6, length, six, value);
    if (!isNew) return;
    this.#size++;
    this.#sort();
    if (this.#filter.hasRoom) this.#filter.add(six === undefined ? hash4(four, length) : hash6(six));
    else this.#refill();
  }

  delete(network: string): void {
    const { length, four, six } = read(network);
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

/** Of IPv4 `four` is the key, of IPv6 `six`. */
function read(network: string): { length: number; four: number; six: string | undefined } {
  const slash = network.indexOf('/');
  const ip = slash < 0 ? network : network.slice(0, slash);
  const six = ip.includes(':');
  const length = slash < 0 ? (six ? 128 : 32) : Number(network.slice(slash + 1));
  if (!six) return { length, four: mask4(ipv4Number(ip), length), six: undefined };
  const { parts } = ipaddr.IPv6.parse(ip);
  return { length, four: 0, six: key6(parts, length) };
}

/** Dotted IPv4 as an unsigned 32-bit number. What is no address gives a number too: it is asked about, not stored. */
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
