import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import type { BlockFilter, BlockRows } from '../../projections/blocks/block-rows.js';
import { InvalidInput } from '../kernel/errors.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import type { Subject } from '../sending/subjects.js';
import { DIRECTIONS, SUBJECT_TYPES, parseSubject } from '../sending/subjects.js';
import { entriesOf } from './block-entries.js';
import { cursorOf, keyOfCursor } from './cursor.js';
import type { ApiDependencies } from './dependencies.js';
import { anyOf, instantInput, oneOf, once, wholeNumber } from './inputs.js';
import { BLOCK_STATES } from './shapes.js';

/** How long a search may hold the event loop. */
const SLICE: Milliseconds = 3;

export const blockListQuery = z.strictObject({
  state: anyOf(BLOCK_STATES),
  type: anyOf(SUBJECT_TYPES),
  value: once.max(320).optional().meta({ description: 'The subject, exactly; compared in normal form.' }),
  q: once
    .max(200)
    .optional()
    .meta({ description: 'Text within the subject or the description, in any case.' }),
  id: once.max(64).optional().meta({ description: 'How the id begins.' }),
  rule: once.max(64).optional(),
  origin: oneOf(['rule', 'admin']).optional(),
  direction: oneOf(DIRECTIONS).optional(),
  since: instantInput.optional().meta({ description: 'Proposed or in force since this instant or later.' }),
  until: instantInput.optional().meta({ description: 'Proposed or in force before this instant.' }),
  sort: oneOf(['newest', 'oldest'])
    .default('newest')
    .meta({ description: 'By when it was proposed or came into force.' }),
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(200).optional().meta({ description: 'What next of the page before said.' }),
});

export type BlockListQuery = z.infer<typeof blockListQuery>;

export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
}

/** One page of blocks. What begins while pages are read shifts none of them. */
export async function listBlocks(
  sources: Pick<ApiDependencies, 'models' | 'store'>,
  query: BlockListQuery,
  now: Instant,
): Promise<Page<BlockEntry>> {
  const { rows } = sources.models.ledger;
  const beyond = placeOf(query.cursor);
  const found =
    query.value === undefined
      ? await searched(rows, query, now, beyond)
      : named(rows, query, query.value, now, beyond);
  const page = found.slice(0, query.limit);
  const next = found.length > page.length ? cursorOf(String(rows.at(page.at(-1)!).begin)) : null;
  return { items: await entriesOf(sources, page), next };
}

/** The first rows that match, one more than a page has. */
async function searched(
  rows: BlockRows,
  query: BlockListQuery,
  now: Instant,
  beyond: number | undefined,
): Promise<readonly number[]> {
  const found: number[] = [];
  let begun = performance.now();
  for (const some of rows.search(filterOf(query, now), query.sort, beyond)) {
    found.push(...some);
    if (found.length > query.limit) break;
    if (performance.now() - begun < SLICE) continue;
    await setImmediate();
    begun = performance.now();
  }
  return found;
}

/** All rows that match, of the subjects that a text can mean. */
function named(
  rows: BlockRows,
  query: BlockListQuery,
  value: string,
  now: Instant,
  beyond: number | undefined,
): readonly number[] {
  const subjects = subjectsOf(value, query.type ?? new Set(SUBJECT_TYPES));
  const all = rows.filter(
    subjects.flatMap((subject) => [...rows.on(subject)]),
    filterOf(query, now),
  );
  const step = query.sort === 'newest' ? -1 : 1;
  return all
    .filter((row) => beyond === undefined || Math.sign(rows.at(row).begin - beyond) === step)
    .sort((a, b) => step * (a - b));
}

function placeOf(cursor: string | undefined): number | undefined {
  if (cursor === undefined) return undefined;
  const key = keyOfCursor(cursor);
  if (/^\d{1,16}$/.test(key)) return Number(key);
  throw new InvalidInput('cursor', 'is of another list');
}

function filterOf(query: BlockListQuery, now: Instant): BlockFilter {
  const { state: states, type: types, direction, origin, rule, since, until, id, q } = query;
  const text = q?.normalize('NFC').toLowerCase();
  return { now, states, types, direction, origin, rule, since, until, id, text };
}

/** What a text can mean under each type. @throws InvalidInput where it fits none */
function subjectsOf(value: string, types: Iterable<string>): readonly Subject[] {
  const subjects: Subject[] = [];
  let fault: InvalidInput | undefined;
  for (const type of types) {
    try {
      subjects.push(parseSubject(type, value));
    } catch (thrown) {
      if (!(thrown instanceof InvalidInput)) throw thrown;
      fault = new InvalidInput('value', thrown.message);
    }
  }
  if (subjects.length === 0 && fault !== undefined) throw fault;
  return subjects;
}
