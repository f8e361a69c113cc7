/** A command: its words, without their quotes. */
export type Command = readonly string[];
/** Commands that pipe into each other. */
export type Pipeline = readonly Command[];

/**
 * Reads the shell of documents: pipelines in the order in which they stand, those in `$(…)` before what they stand in.
 * Variables that are set to plain words, and those of `for`, are put in: a command with one of several values comes
 * once for each. Not a shell: no functions, no `case`; of here-documents the lines are taken for commands.
 */
export function pipelinesOf(script: string): readonly Pipeline[] {
  const reader = new Reader(script);
  const variables = new Map<string, readonly string[]>();
  return reader.pipelines().flatMap((pipeline) => {
    for (const command of pipeline) remember(command, variables);
    return filledIn(pipeline, variables);
  });
}

/** The shell blocks of a page, also those within lists. */
export function shellIn(page: string): readonly string[] {
  return [...page.matchAll(/^( *)```sh\n([\s\S]*?)^\1```$/gm)].map(([, indent, code]) =>
    code!.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  );
}

/** Code within the text of a page. */
export function inlineIn(page: string): readonly string[] {
  const text = page.replace(/^( *)```[\s\S]*?^\1```$/gm, '');
  return [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code!.replace(/\s*\n\s*/g, ' '));
}

class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Up to the end, or to the bracket that closes. */
  pipelines(closing?: ')'): Pipeline[] {
    const found: Pipeline[] = [];
    let pipeline: string[][] = [];
    let words: string[] = [];
    const endCommand = (): void => {
      if (words.length > 0) pipeline.push(words);
      words = [];
    };
    const endPipeline = (): void => {
      endCommand();
      if (pipeline.length > 0) found.push(pipeline);
      pipeline = [];
    };
    while (this.#at < this.#text.length) {
      const next = this.#text[this.#at]!;
      if (next === closing) break;
      if (this.#skip(/^(?:[ \t]|\\\n)+|^#.*/)) continue;
      // What ends in a pipe goes on in the next line.
      if (this.#skip(/^\|(?!\|)\s*/)) endCommand();
      else if (this.#skip(/^[\n;&|()]+/)) endPipeline();
      else words.push(this.#word(found));
    }
    endPipeline();
    this.#at++;
    return found;
  }

  #word(found: Pipeline[]): string {
    let word = '';
    let quote: string | undefined;
    for (; this.#at < this.#text.length; this.#at++) {
      const next = this.#text[this.#at]!;
      if (quote === undefined && /[\s;|&()]/.test(next)) return word;
      if (next === quote) quote = undefined;
      else if (quote === undefined && (next === '"' || next === "'")) quote = next;
      else if (quote !== "'" && this.#text.startsWith('$(', this.#at)) {
        this.#at += 2;
        found.push(...this.pipelines(')'));
        this.#at--;
        word += '$()';
      } else word += next;
    }
    return word;
  }

  #skip(pattern: RegExp): boolean {
    const [skipped] = pattern.exec(this.#text.slice(this.#at)) ?? [''];
    this.#at += skipped.length;
    return skipped !== '';
  }
}

function remember(command: Command, variables: Map<string, readonly string[]>): void {
  const [first = '', name = '', , ...values] = command;
  if (first === 'for') variables.set(name, values);
  const [, set, value] = command.length === 1 ? (/^([A-Z]+)=([\w./:-]+)$/.exec(first) ?? []) : [];
  if (set !== undefined) variables.set(set, [value!]);
}

function filledIn(
  pipeline: Pipeline,
  variables: ReadonlyMap<string, readonly string[]>,
): readonly Pipeline[] {
  let all = [pipeline];
  for (const [name, values] of variables) {
    const variable = new RegExp(`\\$(?:${name}\\b|\\{${name}\\})`, 'g');
    if (!pipeline.flat().some((word) => word.search(variable) >= 0)) continue;
    all = all.flatMap((one) =>
      values.map((value) => one.map((command) => command.map((word) => word.replace(variable, value)))),
    );
  }
  return all;
}
