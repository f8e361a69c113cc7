import type { ProfiledType } from '../../src/sending/day-summary.js';
import { dayOf } from '../../src/sending/day-summary.js';
import type { SenderFields } from '../../src/sending/events.js';
import {
  clientNetwork,
  domainOf,
  normalizeAccount,
  normalizeAddress,
  normalizeEhlo,
  widerNetworks,
} from '../../src/sending/identity.js';
import type { Subject, SubjectType } from '../../src/sending/subjects.js';
import type { SenderProfiles } from '../baselines/sender-profiles.js';
import { Amounts } from './counted-windows.js';
import type { Fold } from './rule-evaluation.js';
import type { Volumes } from './subject-volumes.js';

/** The windows that an account's sends go to besides its own. */
export type RowHint = 'address' | 'domain' | 'ip' | 'day' | 'domainDay';

const PLACES: Readonly<Record<RowHint, number>> = { address: 0, domain: 1, ip: 2, day: 3, domainDay: 4 };
const WIDTH = 5;

/**
 * The rows of the return path, the domain, the network and the day of an account's last send, by the account's own row.
 * Most accounts send the next message from the same ones, and a row that is guessed right saves a look-up in a map. It
 * is only a guess, and its user checks it; so nothing here is dumped, and nothing is updated when rows are freed.
 */
export class RowHints {
  /** Rows, counted from 1; 0 if none is known. */
  #rows = new Int32Array(256 * WIDTH);

  /** The row to look at first; -1 if none is known. */
  guess(account: number, which: RowHint): number {
    const index = account * WIDTH + PLACES[which];
    return index < this.#rows.length ? this.#rows[index]! - 1 : -1;
  }

  note(account: number, which: RowHint, row: number): void {
    const index = account * WIDTH + PLACES[which];
    if (index >= this.#rows.length) {
      const grown = new Int32Array(Math.ceil(Math.max(index + 1, this.#rows.length * 1.25) / WIDTH) * WIDTH);
      grown.set(this.#rows);
      this.#rows = grown;
    }
    this.#rows[index] = row + 1;
  }
}

const AT_SIGN = 64;

/** Counts an event for every subject that it belongs to: in its windows and in its days. */
export class Counting {
  /** The event's amounts: refilled for each event. */
  readonly amounts = new Amounts();
  readonly #volumes: Volumes;
  readonly #profiles: SenderProfiles;
  readonly #rowHints = new RowHints();

  constructor(volumes: Volumes, profiles: SenderProfiles) {
    this.#volumes = volumes;
    this.#profiles = profiles;
  }

  /** A message, or recipients that it was refused; names that no rule uses are not even normalised. */
  sent(fold: Fold, sender: SenderFields, entitled: boolean): void {
    const { account: login, returnPath: path, ehlo, ip } = sender;
    let account = login === undefined || login === '' ? undefined : normalizeAccount(login);
    let address = path === undefined || path === '' ? undefined : path;
    // Without a tag, the normal form of a login is also that of an address, which saves a second normalisation.
    const alike = path === login && account === login && !account?.includes('+');
    if (address !== undefined && !alike) address = normalizeAddress(address);
    let row = -1;
    if (account !== undefined) {
      row = this.#rowOf(fold, account);
      // From here on the stored string: it has its hash, and is compared by identity.
      const kept = this.#volumes.account.valueOf(row) ?? account;
      if (address === account) address = kept;
      account = kept;
      const day = this.#day(fold, 'account', account, row);
      if (day >= 0) this.#placed(fold, account, sender, day);
      if (row >= 0) this.#count(fold, 'account', account, row, day);
    }
    // An account's MAIL FROM must not count against a stranger, nor against another login: a block of that address would refuse it.
    const isOwn = account === undefined || (entitled && !this.#isAnothers(address, account));
    const own = isOwn ? address : undefined;
    if (own !== undefined) this.#countBeside(fold, 'address', own, row);
    if (this.#counts(fold, 'domain')) {
      const domain = this.#guessedDomain(row, account) ?? domainOf(account ?? '') ?? domainOf(own ?? '');
      if (domain !== undefined) {
        this.#countBeside(fold, 'domain', domain, row, this.#day(fold, 'domain', domain, row));
      }
    }
    if (ehlo !== undefined && ehlo !== '' && this.#counts(fold, 'ehlo')) {
      this.#count(fold, 'ehlo', normalizeEhlo(ehlo));
    }
    if (ip !== undefined && ip !== '' && this.#counts(fold, 'ip')) {
      this.#countBeside(fold, 'ip', clientNetwork(ip), row);
    }
  }

  /** A bounce of an address's mail; it is part of the day of known senders. */
  bounced(fold: Fold, address: string): void {
    this.#count(fold, 'account', address, -1, this.#dayOfKnown(fold, 'account', address));
    this.#count(fold, 'address', address);
    const domain = domainOf(address);
    if (domain === undefined) return;
    this.#count(fold, 'domain', domain, -1, this.#dayOfKnown(fold, 'domain', domain));
  }

  /**
   * Failed logins from one network. Its site may hold the networks around it too, and try a few passwords from each. So
   * they count for those as well, but never so many that one network alone gets its neighbours blocked: no /64 those of
   * its /56, and no /56, which many a household has, those of its /48.
   */
  failedLogins(fold: Fold, network: string, count: number): void {
    let part = count;
    for (const one of [network, ...widerNetworks(network)]) {
      const counts = part;
      part = Math.min(part, this.#volumes.ip.partOf('authFailures', one, fold.at));
      this.amounts.set('authFailures', counts);
      this.#count(fold, 'ip', one);
      if (part <= 0) return;
    }
  }

  /** Counts for one subject alone. */
  of(fold: Fold, { type, value }: Subject): void {
    this.#count(fold, type, value);
  }

  /** Whether somebody else has sent under this login. A mail server that asks or reports cannot say which names are logins. */
  #isAnothers(address: string | undefined, account: string): boolean {
    return address !== undefined && address !== account && this.#profiles.knows('account', address);
  }

  #counts(fold: Fold, type: SubjectType): boolean {
    return this.#volumes[type].counts(this.amounts.mask, fold.direction);
  }

  /** The row of an account if any rule uses its counts; -1 if none does. */
  #rowOf(fold: Fold, account: string): number {
    return this.#counts(fold, 'account') ? this.#volumes.account.rowOf(account, fold.at) : -1;
  }

  /**
   * Adds the event to the sender's day.
   *
   * @param account the row of the account whose event it is
   * @returns the row of the day; -1 if the event is too late for it, or not the sender's own act
   */
  #day(fold: Fold, type: ProfiledType, value: string, account: number): number {
    // Only senders have baselines: inbound mail has none.
    if (fold.direction === 'inbound') return -1;
    const days = this.#profiles.days(type);
    const which = type === 'account' ? 'day' : 'domainDay';
    const guess = account < 0 ? -1 : this.#rowHints.guess(account, which);
    const row = days.row(value, dayOf(fold.at), guess);
    if (row < 0) return row;
    if (account >= 0 && row !== guess) this.#rowHints.note(account, which, row);
    days.add(row, this.amounts, fold.at);
    return row;
  }

  /** A bounce may name anybody: an address that never sent has no days. */
  #dayOfKnown(fold: Fold, type: ProfiledType, value: string): number {
    return this.#profiles.knows(type, value) ? this.#day(fold, type, value, -1) : -1;
  }

  /** Notes the place of an account's message. Whether it is new to it is looked up only when it changes. */
  #placed(fold: Fold, account: string, sender: SenderFields, day: number): void {
    const days = this.#profiles.days('account');
    const hasMoved = days.place(day, sender);
    if (hasMoved) days.markNewcomer(day, fold.isNewcomer(account, sender));
    if (fold.message !== undefined && days.isNewcomer(day)) fold.came(account, sender);
  }

  /** @returns the row that counts, or -1 if none does */
  #count(fold: Fold, type: SubjectType, value: string, guess = -1, day = -1): number {
    if (!this.#counts(fold, type)) return -1;
    return this.#volumes[type].add(value, this.amounts, fold, guess, day);
  }

  /** Counts for a subject that goes with an account; its last row of this type is usually the right one. */
  #countBeside(fold: Fold, type: RowHint & SubjectType, value: string, account: number, day = -1): void {
    if (account < 0) {
      this.#count(fold, type, value, -1, day);
      return;
    }
    const guess = this.#rowHints.guess(account, type);
    const row = this.#count(fold, type, value, guess, day);
    if (row >= 0 && row !== guess) this.#rowHints.note(account, type, row);
  }

  /** The account's domain as stored, if the row from the last time is still its own. */
  #guessedDomain(row: number, account: string | undefined): string | undefined {
    if (row < 0 || account === undefined) return undefined;
    const domain = this.#volumes.domain.valueOf(this.#rowHints.guess(row, 'domain'));
    if (domain === undefined || !account.endsWith(domain)) return undefined;
    const at = account.length - domain.length - 1;
    return account.charCodeAt(at) === AT_SIGN ? domain : undefined;
  }
}
