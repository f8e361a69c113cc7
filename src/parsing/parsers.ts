import { stringify } from 'yaml';
import type { OverrideEntry } from '../overrides/model.js';
import { parseOverrides } from '../accounts/overrides.js';
import { parseSenderMap } from '../accounts/senders.js';
import type { TokenRecord } from '../accounts/tokens.js';
import { parseTokens } from '../accounts/tokens.js';
import type { UserRecord } from '../accounts/users.js';
import { parseUsers } from '../accounts/users.js';
import type { SourcedRules } from '../rules/model.js';
import { parseRules } from '../rules/parse.js';

/** What takes long to read, by what it is: each gives a list, which is handed over in parts. */
export interface Parsed {
  readonly users: UserRecord;
  readonly tokens: TokenRecord;
  readonly senders: readonly [account: string, patterns: readonly string[]];
  readonly overrides: OverrideEntry;
  readonly rules: SourcedRules;
}

export type Kind = keyof Parsed;

export interface ParseOptions {
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
