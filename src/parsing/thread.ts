import { parentPort } from 'node:worker_threads';
import { ConfigError, firstProblems } from '../accounts/problems.js';
import { messageOf } from '../kernel/errors.js';
import { InvalidRules } from '../rules/parse.js';
import type { Answer, Told } from './aside.js';
import { PARSERS, textOf } from './aside.js';

/* The thread that texts are read in, see aside.ts. */

/** Entries of one part: they are taken over in some milliseconds. */
const PART = 500;

if (parentPort !== null) {
  const port = parentPort;
  /** What is not asked for yet. */
  const rest = new Map<number, { readonly entries: readonly unknown[]; readonly given: number }>();
  const give = (id: number, entries: readonly unknown[], given: number): Answer => {
    const next = given + PART;
    const isLast = next >= entries.length;
    if (isLast) rest.delete(id);
    else rest.set(id, { entries, given: next });
    return { id, part: entries.slice(given, next), isLast };
  };
  const answer = (told: Told): Answer => {
    const { id } = told;
    if (!('kind' in told)) {
      const { entries, given } = rest.get(id)!;
      return give(id, entries, given);
    }
    const text = textOf(told.text);
    try {
      return give(id, PARSERS[told.kind](text, told.name, told.options), 0);
    } catch (error) {
      if (error instanceof ConfigError) return { id, problems: firstProblems(error.problems, told.name) };
      if (error instanceof InvalidRules) return { id, faults: error.faults, source: error.source };
      return { id, error: messageOf(error) };
    }
  };
  port.on('message', (told: Told) => port.postMessage(answer(told)));
}
