import { setImmediate } from 'node:timers/promises';
import type { SubjectOverrides } from '../../projections/volume/overrides.js';
import type { Clock, Milliseconds } from '../kernel/time.js';
import { DAY, HOUR } from '../kernel/time.js';
import type { OverrideContext, OverrideCommandHandler } from './override-commands.js';
import type { OverrideCommand } from '../overrides/decide.js';
import { decide, NOTHING_SET } from '../overrides/decide.js';
import type { ReadModels } from '../detector/read-models.js';

export interface BatchOptions {
  readonly overrideCommands: OverrideCommandHandler;
  readonly models: ReadModels;
  readonly clock: Clock;
}

export interface BatchOutcome {
  readonly set: number;
  readonly removed: number;
  readonly unchanged: number;
  /** Position of the last change; 0 where nothing changed. */
  readonly position: number;
}

/** Commands that are looked at before others get a turn. */
const SLICE = 500;
/** A request is given its first answer again for a day; clocks may differ. */
const REPEATED_WITHIN: Milliseconds = DAY + HOUR;

/**
 * Carries out many commands, each on a subject of its own. What the read models show to be so already is not read
 * again: whoever syncs all customers every night changes few. Only what was changed within the last day is looked up
 * where the command has a seed, since it may have been carried out before. Resolves when the changes are durable.
 *
 * @throws what OverrideDesk.executeAll throws; what had been carried out by then stays
 */
export async function carryOutBatch(
  { overrideCommands, models, clock }: BatchOptions,
  commands: readonly OverrideCommand[],
  context: (command: OverrideCommand) => OverrideContext,
): Promise<BatchOutcome> {
  const due: OverrideCommand[] = [];
  const now = clock.now();
  for (const [index, command] of commands.entries()) {
    if (index % SLICE === SLICE - 1) await setImmediate();
    const known: SubjectOverrides | undefined = models.overrides.on(command.subject);
    const since = known?.[command.origin]?.at ?? now;
    const isRepeated = context(command).seed !== undefined && since > now - REPEATED_WITHIN;
    if (isRepeated || decide(command, known ?? NOTHING_SET, now).length > 0) due.push(command);
  }
  const done = await overrideCommands.executeAll(due, context);
  const made = done.filter(({ facts }) => facts.length > 0);
  const set = made.filter(({ facts }) => facts[0]!.type === 'OverrideSet').length;
  return {
    set,
    removed: made.length - set,
    unchanged: commands.length - made.length,
    position: Math.max(0, ...made.map(({ position }) => position)),
  };
}
