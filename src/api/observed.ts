import { z } from 'zod';
import type { Observation } from '../../projections/blocks/block-ledger.js';
import { OBSERVATIONS_KEPT } from '../../projections/blocks/block-ledger.js';
import { InvalidInput } from '../kernel/errors.js';
import { formatInstant } from '../kernel/time.js';
import { SUBJECT_TYPES } from '../sending/subjects.js';
import { cursorOf, keyOfCursor } from './cursor.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { anyOf, instantInput, once, wholeNumber } from './inputs.js';
import type { ObservedJson } from './shadow-shapes.js';
import { observedShape } from './shadow-shapes.js';
import { listOf } from './shapes.js';
import { evidenceView, subjectView } from './views.js';

const observedQuery = z.strictObject({
  rule: once.max(64).optional(),
  type: anyOf(SUBJECT_TYPES),
  since: instantInput.optional().meta({ description: 'Observed at this instant or later.' }),
  limit: wholeNumber(1, 500, 50),
  cursor: once.max(200).optional().meta({ description: 'What next of the page before said.' }),
});
type ObservedQuery = z.infer<typeof observedQuery>;

/** Whom rules would have acted on that only observe. */
export function observedRoute({ models }: ApiDependencies): Route {
  return route<ObservedQuery>({
    method: 'get',
    path: '/api/v1/rules/observed',
    summary: 'Where rules tripped that only observe, newest first',
    role: 'viewer',
    query: observedQuery,
    responses: {
      200: { description: `Of the newest ${OBSERVATIONS_KEPT}`, schema: listOf(observedShape) },
    },
    handle: ({ query }) => ok(observed(models.ledger.observed.newest(), query)),
  });
}

function observed(all: readonly Observation[], { rule, type, since, limit, cursor }: ObservedQuery) {
  const before = cursor === undefined ? Infinity : positionOf(cursor);
  const found = all.filter(
    ({ position, at, subject, evidence }) =>
      position < before &&
      (rule === undefined || evidence.rule === rule) &&
      (type === undefined || type.has(subject.type)) &&
      (since === undefined || at >= since),
  );
  const page = found.slice(0, limit);
  const next = found.length > page.length ? cursorOf(String(page.at(-1)!.position)) : null;
  return { items: page.map(observedView), next };
}

function positionOf(cursor: string): number {
  const key = keyOfCursor(cursor);
  if (/^\d{1,15}$/.test(key)) return Number(key);
  throw new InvalidInput('cursor', 'is of another list');
}

function observedView({ position, at, subject, action, evidence }: Observation): ObservedJson {
  const { rule } = evidence;
  return {
    ...{ position, at: formatInstant(at), rule, action },
    ...{ subject: subjectView(subject), evidence: evidenceView(evidence) },
  };
}
