import { domainToUnicode } from 'node:url';
import { BLOCK_CATEGORY } from '../blocks/events.js';
import { OVERRIDE_CATEGORY } from '../overrides/events.js';
import { rewriteRules } from '../rules/rewrite.js';
import { PROFILE_CATEGORY } from '../sending/day-summary.js';
import { SEND_CATEGORY } from '../sending/events.js';
import { domainOf, normalizeAccount, normalizeAddress } from '../sending/identity.js';
import type { Subject } from '../sending/subjects.js';
import { sessionStream } from '../sessions/events.js';

/** Somebody who is to be forgotten. Plain data: it goes to another thread. */
export interface Person {
  /** An account or an address in normal form. Where it is both, both are forgotten. */
  readonly name: string;
  /** What stays in its place where something must. */
  readonly pseudonym: string;
}

/** What becomes of a stream of theirs: its events go, or stay under the pseudonym. */
export interface OwnStream {
  readonly stream: string;
  /** What it is called afterwards; undefined if nothing of it stays. */
  readonly renamed: string | undefined;
  /** It may hold what is told of a domain of the same name, which stays. */
  readonly isShared?: true;
}

/**
 * The streams that are theirs alone: those of sends, day summaries, overrides and sessions go, and the histories of blocks stay. A
 * session under a pseudonym would be nobody's, and would have its rights all the same.
 */
export function ownStreams({ name, pseudonym }: Person): readonly OwnStream[] {
  const types = ['account', 'address'];
  return [
    { stream: `${SEND_CATEGORY}-${name}`, renamed: undefined },
    {
      stream: `${PROFILE_CATEGORY}-${name}`,
      renamed: undefined,
      ...(domainOf(name) === undefined ? { isShared: true } : {}),
    },
    ...types.map((type) => ({ stream: `${OVERRIDE_CATEGORY}-${type}:${name}`, renamed: undefined })),
    ...adminNames(name).map((admin) => ({ stream: sessionStream(admin), renamed: undefined })),
    ...types.map((type) => ({
      stream: `${BLOCK_CATEGORY}-${type}:${name}`,
      renamed: `${BLOCK_CATEGORY}-${type}:${pseudonym}`,
    })),
  ];
}

/** How somebody of this name may be called who signs in here. A login that is no address need not be the person of that name. */
export function adminNames(name: string): readonly string[] {
  const domain = domainOf(name);
  if (domain === undefined) return [];
  const inUnicode = `${name.slice(0, -domain.length)}${domainToUnicode(domain) || domain}`;
  return [...new Set([name, inUnicode])];
}

export interface EventText {
  readonly type: string;
  readonly by: string;
  /** JSON. */
  readonly data: string;
}

/** Events that tell of one sender alone. */
const ACTIVITY = new Set([
  'MessageAccepted',
  'RecipientsRefused',
  'MessageRefused',
  'MessageHeld',
  'BounceReceived',
  'SenderDaySummarised',
  'OverrideSet',
  'OverrideRemoved',
]);

/** Fields that hold the name of an account, and lists of them. */
const ACCOUNTS = new Set(['account', 'accounts']);
/** Other fields that hold a name: the only ones where a login that is no address is looked for. */
const NAMES = new Set([...ACCOUNTS, 'address', 'returnPath', 'sender']);
/** Fields that people and rules write sentences in. A `source` is the text of rules, and `rules` what was read from it. */
const TEXTS = new Set([
  'sentence',
  'note',
  'description',
  'reason',
  'text',
  'title',
  'output',
  'error',
  'items',
]);

/** Where a value is in an event. */
interface Place {
  /** The field; of an element of a list, that of the list. */
  readonly key: string;
  /** Of the subject around it. */
  readonly type: string;
  readonly isOfRules: boolean;
}

/** Takes a person out of events that are not theirs alone. The same events always give the same result. */
export class Rewriter {
  readonly #person: Person;
  readonly #isAddress: boolean;
  /** Finds the name within text. */
  readonly #within: RegExp;
  /** Whether JSON may hold it at all: cheap, since it is asked for every event of the store. */
  readonly #hint: RegExp;

  constructor(person: Person) {
    this.#person = person;
    const { name } = person;
    const domain = domainOf(name);
    this.#isAddress = domain !== undefined;
    const local = domain === undefined ? name : name.slice(0, -domain.length - 1);
    const isPlain = /^[ -~]*$/.test(local);
    // With letters beyond ASCII there are several ways to write it. Quotes may hide what is within them.
    this.#hint = isPlain ? new RegExp(`${escaped(local)}|\\\\`, 'i') : /[^ -~]|\\/;
    const [before, after] = [
      '(?<![\\p{L}\\p{N}._%+-]|[\\p{L}\\p{N}._%+-]@|"[^"]{1,64}"@)',
      '(?![\\p{L}\\p{N}_-]|\\.[\\p{L}\\p{N}])',
    ];
    const body =
      domain === undefined
        ? `${escaped(local)}(?!@)`
        : `${escaped(local)}(?:\\+[^\\s@"<>(),;:]{0,64})?@(?:${escaped(domain)}|${escaped(domainToUnicode(domain) || domain)})`;
    this.#within = new RegExp(`${before}${body}${after}`, 'giu');
  }

  /** Whether an event tells of them alone, whatever stream it is in, and so goes. */
  erases(type: string, data: unknown): boolean {
    if (typeof data !== 'object' || data === null) return false;
    const { account, returnPath, address, subject, stream } = data as Readonly<Record<string, unknown>>;
    // In the outbox of a node: an event of theirs that the store refused.
    if (type === 'OutboxRefused') return ownStreams(this.#person).some((own) => own.stream === stream);
    if (!ACTIVITY.has(type)) return false;
    const { type: kind, value } = (subject ?? {}) as Partial<Subject>;
    // A domain may have the name of a login.
    const own = kind === 'account' || kind === 'address' ? value : undefined;
    const sender = account ?? returnPath ?? address ?? own;
    return typeof sender === 'string' && this.#isName(sender, account !== undefined);
  }

  /** What becomes of the event: undefined if it says nothing of them, `erase` if it goes. */
  rewrite({
    type,
    by,
    data,
  }: EventText): 'erase' | { readonly by: string; readonly data: string } | undefined {
    if (!this.#hint.test(data) && !this.#hint.test(by)) return undefined;
    let parsed: unknown;
    try {
      parsed = JSON.parse(data);
    } catch {
      // What nobody can read says nothing; but its bytes may name them.
      const without = data.replace(this.#within, this.#person.pseudonym);
      return without === data ? undefined : { by, data: without };
    }
    if (this.erases(type, parsed)) return 'erase';
    const rewritten = {
      by: this.#isAddress ? this.#text(by) : by,
      data: JSON.stringify(this.value(parsed)),
    };
    const isSame = rewritten.by === by && rewritten.data === JSON.stringify(parsed);
    return isSame ? undefined : rewritten;
  }

  /** The same value without them. */
  value(value: unknown): unknown {
    return this.#value(value, { key: '', type: '', isOfRules: false });
  }

  #value(value: unknown, place: Place): unknown {
    if (typeof value === 'string') return this.#string(value, place);
    if (Array.isArray(value)) return value.map((element) => this.#value(element, place));
    if (typeof value !== 'object' || value === null) return value;
    const type = (value as Partial<Subject>).type ?? '';
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [
        this.#isAddress ? this.#text(key) : key,
        this.#value(inner, { key, type, isOfRules: place.isOfRules || key === 'rules' }),
      ]),
    );
  }

  #string(value: string, { key, type, isOfRules }: Place): string {
    if (key === 'source') return this.#rulesText(value);
    const isSubject = key === 'value' && (type === 'account' || type === 'address');
    if (this.#isAddress || isSubject || NAMES.has(key)) {
      const isAccount = ACCOUNTS.has(key) || (isSubject && type === 'account');
      if (this.#isName(value, isAccount)) return this.#person.pseudonym;
      // Another login, that has a tag in its name.
      if (isAccount) return value;
    }
    // What the rules say is what their text says.
    return this.#isAddress || (TEXTS.has(key) && !isOfRules) ? this.#text(value) : value;
  }

  /** A login may be any word of the rules: changed anywhere but in a subject, they could not be read any more. */
  #rulesText(source: string): string {
    if (!this.#hint.test(source)) return source;
    return rewriteRules(source, {
      subject: (value, type) => this.#string(value, { key: 'value', type, isOfRules: true }),
      rest: (text) => (this.#isAddress ? this.#text(text) : text),
    });
  }

  #isName(value: string, isAccount: boolean): boolean {
    if (!this.#hint.test(JSON.stringify(value))) return false;
    return (isAccount ? normalizeAccount(value) : normalizeAddress(value)) === this.#person.name;
  }

  #text(value: string): string {
    return value.replace(this.#within, this.#person.pseudonym);
  }
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
}
