import { readFileSync } from 'node:fs';
import path from 'node:path';
import { REPOSITORY } from './rules.js';
import type { Command, Pipeline } from './shell.js';
import { inlineIn, pipelinesOf, shellIn } from './shell.js';

/** The page that says what to do, from the repository's folder. */
export const INCIDENTS = 'docs/run/incidents.md';
/** The name of what precedes the first alert on that page. */
export const INTRODUCTION = 'introduction';

/** What the page of incidents says of one alert, and what it tells people to type. */
export interface Runbook {
  /** The alert, or `introduction`. */
  readonly name: string;
  readonly text: string;
  readonly pipelines: readonly Pipeline[];
  readonly commands: readonly Command[];
}

export function runbooks(): readonly Runbook[] {
  const page = readFileSync(path.join(REPOSITORY, INCIDENTS), 'utf8');
  return page.split(/^(?=#{2,3} <a id="Stopgap)/m).map((text) => {
    const name = /^#+ <a id="(\w+)"><\/a>/.exec(text)?.[1] ?? INTRODUCTION;
    const pipelines = [...shellIn(text), ...inlineIn(text)].flatMap(pipelinesOf);
    return { name, text, pipelines, commands: pipelines.flat() };
  });
}

/** What a command is given to a program, whatever stands before it: `sudo`, `xargs`, variables. Undefined without it. */
export function wordsAfter(program: string, command: Command): Command | undefined {
  const at = command.indexOf(program);
  return at === -1 ? undefined : command.slice(at + 1);
}

/** A call of `docker compose`. */
export interface ComposeCall {
  readonly verb: string;
  readonly services: readonly string[];
  /** What runs in the service: of `exec` alone. */
  readonly inside: Command;
}

/** Options of `docker compose` verbs that take the next word. */
const WITH_VALUE = new Set(['-n', '--tail', '--since', '-s', '-e', '-u']);

export function composeCallOf(command: Command): ComposeCall | undefined {
  const words = wordsAfter('docker', command);
  if (words?.[0] !== 'compose' || words[1] === undefined) return undefined;
  const [, verb, ...rest] = words;
  const positional: string[] = [];
  for (let index = 0; index < rest.length; index++) {
    const word = rest[index]!;
    if (WITH_VALUE.has(word)) index++;
    else if (verb === 'exec' && positional.length > 0) positional.push(word);
    else if (!word.startsWith('-') && word !== '$()') positional.push(word);
  }
  if (verb === 'exec') return { verb, services: positional.slice(0, 1), inside: positional.slice(1) };
  // `docker compose cp SERVICE:PATH .`
  const services = verb === 'cp' ? [positional[0]!.split(':')[0]!] : positional;
  return { verb: verb, services, inside: [] };
}

/** The units that a call of systemctl or journalctl is about, without `.service`; globs as they stand. */
export function unitsOf(command: Command): readonly string[] {
  const bare = (name: string): string => name.replace(/\.service$/, '');
  const journal = wordsAfter('journalctl', command);
  if (journal !== undefined)
    return journal.flatMap((word, index) => (journal[index - 1] === '-u' ? [bare(word)] : []));
  const [, ...words] = wordsAfter('systemctl', command) ?? [];
  return words.flatMap((word, index) =>
    word.startsWith('-') || /^-[ps]$/.test(words[index - 1] ?? '') ? [] : [bare(word)],
  );
}

/** Those of the names that a name with `*` stands for. */
export function matching(glob: string, names: Iterable<string>): readonly string[] {
  const pattern = new RegExp(`^${glob.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`);
  return [...names].filter((name) => pattern.test(name));
}

/** Calls of the command line of ours, wherever they run: what stands behind `stopgap`. */
export function stopgapCallsOf(commands: readonly Command[]): readonly Command[] {
  return commands.flatMap((command) => {
    // Inside a container it has no name of its own.
    const words = wordsAfter('dist/src/main.js', command) ?? afterOurs(command);
    return words === undefined || words[0] === '$@' ? [] : [words];
  });
}

/** Names of units and folders are `stopgap` too: only what is run counts. */
function afterOurs(command: Command): Command | undefined {
  const [first] = command;
  if (first === 'stopgap') return command.slice(1);
  const words = wordsAfter('stopgap', command);
  const next = words?.indexOf('stopgap') ?? -1;
  if (first === 'xargs') return words;
  // `sudo -u stopgap … stopgap VERB`
  return first === 'sudo' && next >= 0 ? words!.slice(next + 1) : undefined;
}
