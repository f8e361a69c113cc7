import { stringify } from 'yaml';
import type { AdminRecord } from '../accounts/admins.js';
import { parseAdmins } from '../accounts/admins.js';
import { parseOverrides } from '../accounts/overrides.js';
import { ConfigError } from '../accounts/problems.js';
import { parseSenderMap } from '../accounts/senders.js';
import type { TokenRecord } from '../accounts/tokens.js';
import { parseTokens } from '../accounts/tokens.js';
import type { UserRecord } from '../accounts/users.js';
import { parseUsers } from '../accounts/users.js';
import type { OverrideEntry } from '../overrides/model.js';
import type { SourcedRules } from '../rules/model.js';
import type { RuleFault } from '../rules/parse.js';
import { InvalidRules, parseRules } from '../rules/parse.js';
import { SideThread } from '../runtime/side-thread.js';

/*
 * A file of thousands of entries takes seconds to read, and a rule set at its bounds a tenth of a second, in which no
 * session would be served. So a separate thread reads it. Its result comes in parts, because taking over all of it at
 * once would also hold the event loop.
 */

/** What the thread is told: something to read, or that the next part is wanted. */
export type Told =
  | {
      readonly id: number;
      readonly kind: Kind;
      readonly text: string | Uint8Array;
      readonly name: string;
      readonly options: ParseOptions;
    }
  | { readonly id: number };

/** What it answers: a part, or why the text is refused. */
export type Answer =
  | { readonly id: number; readonly part: readonly unknown[]; readonly isLast: boolean }
  | { readonly id: number; readonly problems: readonly string[] }
  | { readonly id: number; readonly faults: readonly RuleFault[]; readonly source: string }
  | { readonly id: number; readonly error: string };

type Work = Omit<Extract<Told, { kind: Kind }>, 'id'>;

const SCRIPT = new URL('./thread.js', import.meta.url);
/** Bytes, or characters: this is read in some milliseconds, less than handing it over may take. */
const SHORT = 4 * 1024;
/** Mebibytes: what needs more is refused, and the process lives on. */
const HEAP = 4096;

/**
 * Reads a text while this thread goes on. One text is read after the other, those with a bound of tokens apart from files.
 *
 * @param name how messages name the text
 * @throws ConfigError; of rules InvalidRules; StopgapError `invalid-input` if it takes too much memory; another Error if there
 *   is no thread for it: then it may be read later
 */
export async function parseAside<K extends Kind>(
  kind: K,
  text: string | Uint8Array,
  name: string,
  options: ParseOptions = {},
): Promise<readonly Parsed[K][]> {
  const entries: Parsed[K][] = [];
  for await (const part of partsAside(kind, text, name, options)) entries.push(...part);
  return entries;
}

/** As {@link parseAside}, part by part: between two of them this thread has other turns. */
export async function* partsAside<K extends Kind>(
  kind: K,
  text: string | Uint8Array,
  name: string,
  options: ParseOptions = {},
): AsyncGenerator<readonly Parsed[K][]> {
  if (text.length <= SHORT) yield PARSERS[kind](textOf(text), name, options);
  else {
    const parsing = options.tokens === undefined ? ofFiles : ofRequests;
    yield* parsing.parts({ kind, text, name, options }) as AsyncGenerator<readonly Parsed[K][]>;
  }
}

class Parsing {
  readonly #thread = new SideThread<Told, Answer>({ script: SCRIPT, heap: HEAP, work: 'reading it' });
  #count = 0;

  async *parts(work: Work): AsyncGenerator<readonly unknown[]> {
    const id = ++this.#count;
    for (let told: Told = { id, ...work }; ; told = { id }) {
      const answer = await this.#thread.ask(told);
      if ('problems' in answer) throw new ConfigError(answer.problems);
      if ('faults' in answer) throw new InvalidRules(answer.faults, answer.source);
      if ('error' in answer) throw new Error(answer.error);
      yield answer.part;
      if (answer.isLast) return;
    }
  }
}

const ofFiles = new Parsing();
/** No reader of the API may hold up the file that disables a user. */
const ofRequests = new Parsing();

/** What takes long to read, by what it is: each gives a list, which is handed over in parts. */
interface Parsed {
  readonly users: UserRecord;
  readonly tokens: TokenRecord;
  readonly admins: AdminRecord;
  readonly senders: readonly [account: string, patterns: readonly string[]];
  readonly overrides: OverrideEntry;
  readonly rules: SourcedRules;
}

type Kind = keyof Parsed;

interface ParseOptions {
  /** The most YAML tokens that are read; any number by default. */
  readonly tokens?: number | undefined;
  /** The text is JSON, to be kept as YAML that people can read. */
  readonly rewrite?: boolean | undefined;
}

type Parsers = {
  readonly [K in Kind]: (text: string, name: string, options: ParseOptions) => readonly Parsed[K][];
};

export const PARSERS: Parsers = {
  users: (text, file) => [...parseUsers(text, file).values()],
  tokens: (text, file) => parseTokens(text, file).records,
  admins: (text, file) => [...parseAdmins(text, file).values()],
  senders: (text, file) => [...parseSenderMap(text, file)],
  overrides: parseOverrides,
  rules(text, name, { tokens, rewrite = false }) {
    const rules = parseRules(text, name, tokens);
    return [{ rules, source: rewrite ? stringify(JSON.parse(text)) : text }];
  },
};

export function textOf(text: string | Uint8Array): string {
  if (typeof text === 'string') return text;
  return Buffer.from(text.buffer, text.byteOffset, text.length).toString('utf8');
}
