import { readFileSync } from 'node:fs';
import path from 'node:path';
import { REPOSITORY } from './rules.js';
import type { Command } from './shell.js';
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
  readonly commands: readonly Command[];
}

export function runbooks(): readonly Runbook[] {
  const page = readFileSync(path.join(REPOSITORY, INCIDENTS), 'utf8');
  return page.split(/^(?=#{2,3} <a id="Stopgap)/m).map((text) => {
    const name = /^#+ <a id="(\w+)"><\/a>/.exec(text)?.[1] ?? INTRODUCTION;
    return { name, text, commands: commandsIn(text) };
  });
}

/** What a page tells people to type, in blocks and within its text. */
export function commandsIn(page: string): readonly Command[] {
  return [...shellIn(page), ...inlineIn(page)].flatMap(pipelinesOf).flat();
}

/** What a command gives to a program, after `sudo`, `xargs` or variables. Undefined without it. */
function wordsAfter(program: string, command: Command): Command | undefined {
  const at = command.indexOf(program);
  return at === -1 ? undefined : command.slice(at + 1);
}

/** All calls of our command line: what follows `stopgap`. */
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
