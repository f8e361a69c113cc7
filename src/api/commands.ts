import type { BlockCommand } from '../blocks/commands.js';
import { blockStream } from '../blocks/events.js';
import type { Executed } from '../commands/block-commands.js';
import type { CommandContext } from '../commands/handle-command.js';
import { StopgapError } from '../kernel/errors.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { decisionFields } from '../log/decisions.js';
import type { Subject } from '../sending/subjects.js';
import type { ApiDependencies } from './dependencies.js';
import { within } from '../runtime/deadline.js';
import { ifMatch, preconditionFailed } from './http/etag.js';
import type { ApiRequest } from './http/route.js';
import { StoreUnavailable } from '../store/port.js';

/** How long the read models may take to fold what was just written. */
const FOLD_PATIENCE = 5 * SECOND;

/** Who gives a command, and what its events are to name as their cause. */
export function contextOf({ caller, requestId, seed, trace }: ApiRequest<unknown, unknown>): CommandContext {
  return { by: `admin:${caller.name}`, correlation: `request:${requestId}`, seed, trace };
}

/** The header that an answer has where the same request had been carried out before. */
export function replayed(repeated: boolean): Readonly<Record<string, string>> {
  return repeated ? { 'Idempotency-Replayed': 'true' } : {};
}

export const NOT_SHOWN = 'the change is recorded, but the read models have not caught up with it yet';

/** Resolves when the event at this position shows in the read models. @throws StoreUnavailable where that takes too long */
export async function shown(
  { clock, models }: ApiDependencies,
  position: number,
  patience: Milliseconds = FOLD_PATIENCE,
): Promise<void> {
  await within(clock, patience, models.reached(position), () => {
    throw new StoreUnavailable(NOT_SHOWN);
  });
}

/**
 * Carries out a caller's command on a subject, so that If-Match, Idempotency-Key and read-after-write hold. Resolves when
 * the read models show what came of it.
 *
 * @param block the block whose version If-Match speaks of
 * @throws StopgapError as `decide` does; `precondition-failed`; StoreUnavailable
 */
export async function carryOut(
  deps: ApiDependencies,
  ask: ApiRequest<unknown, unknown>,
  subject: Subject,
  command: BlockCommand,
  block?: string,
): Promise<Executed> {
  const { blockCommands, log } = deps;
  const context = contextOf(ask);
  const matches = block === undefined ? undefined : ifMatch(ask.request);
  const inspect = (version: number): void => {
    if (matches?.(version) === false) throw preconditionFailed(`block ${block}`, version);
  };
  try {
    const executed = await blockCommands.execute(subject, command, { ...context, inspect });
    await shown(deps, executed.position);
    if (executed.facts.length > 0 && !executed.repeated)
      log.info(
        decisionFields(context.by, subject, executed, context.correlation),
        'an administrator decided',
      );
    return executed;
  } catch (thrown) {
    // What is shown with the conflict must be what the decision saw.
    if (thrown instanceof StopgapError && thrown.code === 'conflict')
      await shown(deps, await lastPosition(deps, subject));
    throw thrown;
  }
}

async function lastPosition({ store }: ApiDependencies, subject: Subject): Promise<number> {
  const newest = store.readStream(blockStream(subject), { direction: 'backwards', limit: 1 });
  for await (const { position } of newest) return position;
  return 0;
}
