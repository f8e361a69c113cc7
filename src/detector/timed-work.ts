import type { Logger } from 'pino';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import type { BlockLedger } from '../../projections/blocks/block-ledger.js';
import type { BlockCommandHandler } from '../commands/block-commands.js';
import type { BlockEvent } from '../blocks/events.js';
import type { TaskRunner, TimedTask, TimedWork } from '../expiry/port.js';
import { decisionFields } from '../log/decisions.js';

/** Keeps the timed work in step with the ledger: what a block event means for when something falls due. */
export function planTimedWork(
  work: Pick<TimedWork, 'plan' | 'cancel'>,
  ledger: BlockLedger,
  event: BlockEvent,
): void {
  if (!('block' in event.data)) return;
  const entry = ledger.get(event.data.block);
  if (entry === undefined) return;
  const { expire, lapse } = tasksOf(entry);
  if (expire !== undefined) work.plan(expire);
  else work.cancel('expire', entry.id);
  if (lapse !== undefined) work.plan(lapse);
  else work.cancel('lapse', entry.id);
}

/** Everything that falls due, by the ledger. */
export function* timedTasks(ledger: BlockLedger): Iterable<TimedTask> {
  for (const entry of ledger.kept()) {
    const { expire, lapse } = tasksOf(entry);
    if (expire !== undefined) yield expire;
    if (lapse !== undefined) yield lapse;
  }
}

/** Carries out what has fallen due. */
export function taskRunner(
  blockCommands: BlockCommandHandler,
  models: { readonly ledger: BlockLedger },
  log: Logger,
): TaskRunner {
  return async ({ kind, subject, block }) => {
    const by = 'system:expiry';
    // Whatever set the time is what brings it about.
    const cause = models.ledger.get(block)?.version;
    const correlation = cause === undefined ? undefined : `event:${cause}`;
    const executed = await blockCommands.execute(subject, { kind, block }, { by, correlation });
    if (executed.facts.length === 0) return;
    log.info(decisionFields(by, subject, executed, correlation), 'a block or proposal ran out');
  };
}

function tasksOf({ id: block, subject, state, until, lapsesAt }: BlockEntry): {
  expire: TimedTask | undefined;
  lapse: TimedTask | undefined;
} {
  const expires = state === 'active' && typeof until === 'number';
  const lapses = state === 'proposed' && lapsesAt !== undefined;
  return {
    expire: expires ? { kind: 'expire', block, subject, dueAt: until } : undefined,
    lapse: lapses ? { kind: 'lapse', block, subject, dueAt: lapsesAt } : undefined,
  };
}
