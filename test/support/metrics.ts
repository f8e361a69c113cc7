import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const DOCUMENT = path.resolve(
  path.dirname(fileURLToPath(import.meta.url)),
  '../../../docs/reference/metrics.md',
);

/** What docs/reference/metrics.md says of one metric. */
export interface Documented {
  readonly type: string;
  /** By label the values that it may have; undefined if they are not listed one by one. */
  readonly labels: ReadonlyMap<string, readonly string[] | undefined>;
  readonly meaning: string;
}

/** The tables of docs/reference/metrics.md, by name. */
export function documentedMetrics(): ReadonlyMap<string, Documented> {
  const found = new Map<string, Documented>();
  for (const line of readFileSync(DOCUMENT, 'utf8').split('\n')) {
    const [, name, type, labels, meaning] = line.split('|').map((cell) => cell.trim());
    const known = /^`(stopgap_\w+)`$/.exec(name ?? '')?.[1];
    if (known === undefined) continue;
    if (found.has(known)) throw new Error(`docs/reference/metrics.md has ${known} twice`);
    found.set(known, { type: type!, labels: labelsOf(labels!), meaning: meaning! });
  }
  return found;
}

/** Reads `` `stage`: `auth`, `rcpt`; `rule` ``. */
function labelsOf(cell: string): Documented['labels'] {
  const labels = new Map<string, readonly string[] | undefined>();
  for (const part of cell.split(';').filter((text) => text.trim() !== '')) {
    const [, label, rest] = /^\s*`(\w+)`(?::\s*(.*))?$/.exec(part) ?? [];
    if (label === undefined) throw new Error(`docs/reference/metrics.md: no label in ${part}`);
    const isList = /^`[^`]+`(?:, `[^`]+`)*$/.test(rest ?? '');
    labels.set(label, isList ? [...rest!.matchAll(/`([^`]+)`/g)].map(([, value]) => value!) : undefined);
  }
  return labels;
}

/** One line of an exposition. */
export interface Sample {
  /** With its suffix: `…_bucket`, `…_total`. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** What follows the value: an exemplar. */
  readonly rest: string;
}

/** Reads either format. */
export function samplesOf(text: string): readonly Sample[] {
  return text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, name, , labels = '', value, rest] =
        /^(\w+)(\{((?:[^"}]|"(?:[^"\\]|\\.)*")*)\})? (\S+)(.*)$/.exec(line) ?? [];
      if (name === undefined) throw new Error(`no sample: ${line}`);
      const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key!, text!]);
      return {
        name,
        labels: Object.fromEntries(pairs) as Record<string, string>,
        value: Number(value),
        rest: rest!,
      };
    });
}

/** The figures of an exposition, queried as PromQL writes them, with the labels in any order. */
export class Figures {
  readonly #samples: readonly Sample[];

  constructor(text: string) {
    this.#samples = samplesOf(text);
  }

  /** @returns NaN if there is no such series */
  of(name: string, labels: Readonly<Record<string, string>> = {}): number {
    const wanted = Object.entries(labels);
    const found = this.#samples.filter(
      (sample) =>
        sample.name === name &&
        Object.keys(sample.labels).length === wanted.length &&
        wanted.every(([label, value]) => sample.labels[label] === value),
    );
    if (found.length > 1) throw new Error(`${name} ${JSON.stringify(labels)} is there ${found.length} times`);
    return found[0]?.value ?? NaN;
  }

  /** How often each series of a metric that is not 0 has counted: `{"rcpt soft": 2}`. */
  nonzero(name: string): Readonly<Record<string, number>> {
    const of = this.#samples.filter((sample) => sample.name === name && sample.value !== 0);
    return Object.fromEntries(of.map(({ labels, value }) => [Object.values(labels).join(' '), value]));
  }
}
