import type { SenderIdentity, Subject } from '../../src/sending/subjects.js';
import { FilteredMap, HASH_SEED, hashOf, hashStep } from './filtered-map.js';
import { Networks } from './networks.js';
import { DomainPatterns, PatternIndex } from './pattern-index.js';

const DOT = 46;

/**
 * Values by subject, found by who is sending: exact accounts, addresses and names, `*` patterns, domains with
 * their subdomains, addresses and networks. A look-up walks each name of the sender once; a map is asked, and a
 * part of a name cut out, only where something may be found: nearly every sender is under no block at all.
 */
export class SubjectIndex<Value> {
  readonly #accounts = new FilteredMap<Value>();
  readonly #addresses = new FilteredMap<Value>();
  readonly #addressPatterns = new DomainPatterns<Value>();
  readonly #domains = new FilteredMap<Value>();
  readonly #ehlos = new FilteredMap<Value>();
  readonly #ehloPatterns = new PatternIndex<Value>();
  readonly #networks = new Networks<Value>();
  /** What was recorded as an IP address and is none. */
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
      case 'ip':
        return Networks.reads(value) ? this.#networks.get(value) : this.#ips.get(value);
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
      case 'ip':
        if (Networks.reads(value)) this.#networks.set(value, item);
        else this.#ips.set(value, item);
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
      case 'ip':
        if (Networks.reads(value)) this.#networks.delete(value);
        else this.#ips.delete(value);
    }
  }

  /** Calls back for every value whose subject covers this sender; the direction is the caller's to judge. */
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
   * Matches the domain behind the `@`, and each domain above it. A name of one label alone covers only itself:
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

/** Goes on with a hash that stands at `end`, to the beginning of the text. */
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
