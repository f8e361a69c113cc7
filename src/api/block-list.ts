import { z } from 'zod';
import type { LedgerEntry } from '../../projections/block-ledger.js';
import { stateAt } from '../../projections/block-ledger.js';
import { InvalidInput } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import { DIRECTIONS, SUBJECT_TYPES, parseSubject, subjectKey } from '../sending/subjects.js';
import type { BlockOrder } from './block-order.js';
import { beginOf } from './block-order.js';
import { cursorOf, keyOfCursor } from './cursor.js';
import { anyOf, instantInput, oneOf, once, wholeNumber } from './inputs.js';
import { BLOCK_STATES } from './shapes.js';

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
  order: BlockOrder,
  query: BlockListQuery,
  now: Instant,
): Promise<Page<LedgerEntry>> {
  const matches = filterOf(query, now);
  const items: LedgerEntry[] = [];
  for await (const entry of order.walk(query.sort, placeOf(query.cursor))) {
    if (!matches(entry)) continue;
    if (items.length === query.limit) return { items, next: cursorOf(String(beginOf(items.at(-1)!))) };
    items.push(entry);
  }
  return { items, next: null };
}

function placeOf(cursor: string | undefined): number | undefined {
  if (cursor === undefined) return undefined;
  const key = keyOfCursor(cursor);
  if (/^\d{1,16}$/.test(key)) return Number(key);
  throw new InvalidInput('cursor', 'is of another list');
}

function filterOf(query: BlockListQuery, now: Instant): (entry: LedgerEntry) => boolean {
  const { state, type, rule, origin, direction, since, until, id } = query;
  const subjects =
    query.value === undefined ? undefined : subjectsOf(query.value, type ?? new Set(SUBJECT_TYPES));
  const text = query.q?.normalize('NFC').toLowerCase();
  return (entry) =>
    (state === undefined || state.has(stateAt(entry, now))) &&
    (type === undefined || type.has(entry.subject.type)) &&
    (subjects === undefined || subjects.has(subjectKey(entry.subject))) &&
    (id === undefined || entry.id.startsWith(id)) &&
    (rule === undefined || entry.rule === rule) &&
    (origin === undefined || entry.origin === origin) &&
    (direction === undefined || entry.direction === direction) &&
    (since === undefined || beganAt(entry) >= since) &&
    (until === undefined || beganAt(entry) < until) &&
    (text === undefined ||
      entry.subject.value.includes(text) ||
      entry.description.normalize('NFC').toLowerCase().includes(text));
}

function beganAt(entry: LedgerEntry): Instant {
  return entry.proposedAt ?? entry.since!;
}

/** The keys of what a text can mean under each type. @throws InvalidInput where it fits none */
function subjectsOf(value: string, types: Iterable<string>): ReadonlySet<string> {
  const keys = new Set<string>();
  let fault: InvalidInput | undefined;
  for (const type of types) {
    try {
      keys.add(subjectKey(parseSubject(type, value)));
    } catch (thrown) {
      if (!(thrown instanceof InvalidInput)) throw thrown;
      fault = new InvalidInput('value', thrown.message);
    }
  }
  if (keys.size === 0 && fault !== undefined) throw fault;
  return keys;
}
