import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import { isOver } from '../blocks/state.js';
import type { Instant } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { carryOutBatch, OverrideCommandHandler } from '../commands/override-commands.js';
import type { OverrideCommand } from '../overrides/decide.js';
import { overrideEntry, overrideSubject } from '../overrides/parse.js';
import { subjectKey } from '../sending/subjects.js';
import { contextOf, shown } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import type { FieldFault } from './http/problem.js';
import { faultsOf, invalid } from './http/problem.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { noteInput } from './shapes.js';
import { OVERRIDES, unusedOf, unusedShape } from './overrides.js';

const MOST_ENTRIES = 10_000;
/** Bytes. */
const LARGEST = 8 * 1024 * 1024;
/** Entries that are read before other work gets a turn. */
const SLICE = 250;
const MOST_FAULTS = 20;
const MOST_UNUSED = 100;

const entries = z
  .array(z.unknown(), 'must be a list of entries, as a JSON array or as NDJSON')
  .min(1, 'holds no entry')
  .max(MOST_ENTRIES, `at most ${MOST_ENTRIES} entries at once`)
  .meta({ description: 'Each as PUT of one takes it, with its subject; or {subject, remove: true, note}.' });

const removal = z.strictObject({
  subject: overrideSubject,
  remove: z.literal(true, 'must be true, or be left out'),
  note: noteInput.optional(),
});

const outcomeShape = z.object({
  set: z.int(),
  removed: z.int(),
  unchanged: z.int(),
  unused: z
    .array(unusedShape.extend({ subject: z.object({ type: z.string(), value: z.string() }) }))
    .meta({ description: `Limits that no rule in force looks at: the first ${MOST_UNUSED}.` }),
});

/** Sets and removes many overrides at once, as a hosting panel does that syncs its customers. */
export function bulkOverridesRoute(deps: ApiDependencies): Route {
  const { models, clock, log, store } = deps;
  const overrideCommands = new OverrideCommandHandler(store, clock);
  return route<unknown, readonly unknown[]>({
    method: 'put',
    path: OVERRIDES,
    summary: 'Set or remove the overrides of many accounts and domains; others are left alone',
    role: 'operator',
    scope: 'none',
    body: { schema: entries, limit: LARGEST, ndjson: MOST_ENTRIES },
    responses: {
      200: { description: 'What was changed; a fault in one entry changes none', schema: outcomeShape },
    },
    async handle(request) {
      const commands = await read(request.body, clock.now());
      const { seed, ...context } = contextOf(request);
      const done = await carryOutBatch({ overrideCommands, models, clock }, commands, ({ subject }) => ({
        ...context,
        seed: seed === undefined ? undefined : `${seed}/${subjectKey(subject)}`,
      }));
      await shown(deps, done.position, 10 * SECOND);
      const { by, correlation } = context;
      const { set, removed, unchanged } = done;
      log.info({ correlation, by, set, removed, unchanged }, 'an administrator changed overrides');
      const { rules } = models.sendVolume.rules;
      const unused = commands.flatMap((one) =>
        one.kind === 'set' ? unusedOf(one.subject, one.terms, rules) : [],
      );
      return ok({ set, removed, unchanged, unused: unused.slice(0, MOST_UNUSED) });
    },
  });
}

/** Reads every entry before any is carried out. @throws Problem 400 naming the entries at fault, from 0 */
async function read(raw: readonly unknown[], now: Instant): Promise<readonly OverrideCommand[]> {
  const commands: OverrideCommand[] = [];
  const faults: FieldFault[] = [];
  const places = new Map<string, number>();
  for (const [index, value] of raw.entries()) {
    if (index % SLICE === SLICE - 1) await setImmediate();
    if (faults.length >= MOST_FAULTS) {
      faults.push({
        field: 'body',
        message: `has no fewer faults behind [${index - 1}]: they are not named`,
      });
      break;
    }
    const found = readOne(value, now);
    if (!('command' in found)) {
      faults.push(...found.faults.map(({ field, message }) => ({ field: placed(index, field), message })));
      continue;
    }
    const key = subjectKey(found.command.subject);
    const before = places.get(key);
    if (before === undefined) commands.push(found.command);
    else faults.push({ field: placed(index, 'subject'), message: `is the same as that of [${before}]` });
    places.set(key, before ?? index);
  }
  if (faults.length > 0) throw invalid(faults);
  return commands;
}

function readOne(
  value: unknown,
  now: Instant,
): { readonly command: OverrideCommand } | { readonly faults: readonly FieldFault[] } {
  if (typeof value === 'object' && value !== null && Object.hasOwn(value, 'remove')) {
    const result = removal.safeParse(value);
    if (!result.success) return { faults: result.error.issues.flatMap((issue) => faultsOf(issue, '')) };
    const { subject, note } = result.data;
    const why = note === undefined || note === '' ? {} : { note };
    return { command: { kind: 'remove', origin: 'api', subject, ...why } };
  }
  const result = overrideEntry.safeParse(value);
  if (!result.success) return { faults: result.error.issues.flatMap((issue) => faultsOf(issue, '')) };
  if (isOver(result.data.until, now))
    return { faults: [{ field: 'until', message: 'must lie in the future' }] };
  return { command: { kind: 'set', origin: 'api', ...result.data } };
}

function placed(index: number, field: string): string {
  return field === '' ? `[${index}]` : `[${index}].${field}`;
}
