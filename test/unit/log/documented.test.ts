import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { decisionFields, verdictFields } from '../../../src/log/decisions.js';
import type { Verdict } from '../../../src/rules/respond.js';
import { COMPONENTS } from '../../../src/log/levels.js';
import { parse } from '../architecture/imports.js';
import { linesOf, logLines } from './lines.js';

interface Row {
  readonly level: string;
  readonly component: string;
  readonly fields: readonly string[];
}

const quotedIn = (text: string): readonly string[] => [...text.matchAll(/`(\w+)`/g)].map(([, name]) => name!);
const page = readFileSync('docs/reference/logging.md', 'utf8');
/** The fields that several lines have, as the page lists them once. */
const LISTS: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  [...page.matchAll(/^- _(\w+)_: (.*)$/gm)].map(([, name, list]) => [name!, quotedIn(list!)]),
);
/** Each component has a heading and a table; a row gives the message, its level and its fields. */
const rows = new Map<string, Row>();
let component = '';
for (const line of page.split('\n')) {
  component = /^### (\w+)$/.exec(line)?.[1] ?? component;
  const [message, level, fields] = line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());
  if (level === undefined || !/^(fatal|error|warn|info|debug|trace)$/.test(level)) continue;
  assert.ok(!rows.has(message!), `"${message}" is there twice`);
  rows.set(message!, {
    level,
    component,
    fields: [
      ...quotedIn(fields!),
      ...[...fields!.matchAll(/_(decision|verdict)_/g)].flatMap(([, list]) => LISTS[list!]!),
    ],
  });
}

const verdict = { kind: 'act', subject: {}, evidence: {}, at: 0 } as unknown as Verdict;
/** What the functions give that make fields for several lines. */
const MADE: Readonly<Record<string, readonly string[]>> = {
  'decisionFields()': Object.keys(decisionFields('', { type: 'account', value: '' }, { facts: [] }, '')),
  'verdictFields()': Object.keys(verdictFields(verdict, '', { facts: [] }, '')),
};

describe('docs/reference/logging.md', () => {
  const lines = logLines();

  test('every line is found, and has words that can be looked for', () => {
    assert.ok(lines.length > 40, 'the sources were found');
    const without = lines.filter(({ message }) => message === undefined).map(({ where }) => where);
    assert.deepEqual(without, [], 'the message must be a plain text, so that names cannot get into it');
  });

  test('names each message with its level', () => {
    const found = lines.map(({ message, level, where }) =>
      rows.get(message!)?.level === level ? '' : `${where}: ${level} "${message}"`,
    );
    assert.deepEqual(
      found.filter((text) => text !== ''),
      [],
    );
  });

  test('names no message that does not exist', () => {
    const known = new Set(lines.map(({ message }) => message));
    assert.deepEqual(
      [...rows.keys()].filter((message) => !known.has(message)),
      [],
    );
  });

  test('names the fields of each, and its component', () => {
    for (const [message, { fields, component }] of rows) {
      const written = new Set(
        lines
          .filter((line) => line.message === message)
          .flatMap((line) => line.fields.flatMap((field) => MADE[field] ?? [field])),
      );
      assert.deepEqual([...fields].sort(), [...written].sort(), message);
      assert.ok(
        COMPONENTS.some((name) => name === component),
        `${message}: ${component}`,
      );
    }
  });
});

test('calls of a logger are found in every form', () => {
  const text = `log.info({ a, b: 1, ...(c && { d: c }) }, 'one'); const e = { f: 1 }; this.#log.warn(e, 'two');
    levels.of('smtp').error('three'); x.log.debug(made(y), \`four \${z}\`); assert.equal(log, 1); catalog.info('no');`;
  assert.deepEqual(
    linesOf('x.ts', parse('x.ts', text)).map(({ level, message, fields }) => [level, message, fields]),
    [
      ['info', 'one', ['a', 'b', 'd']],
      ['warn', 'two', ['f']],
      ['error', 'three', []],
      ['debug', undefined, ['made()']],
    ],
  );
});
