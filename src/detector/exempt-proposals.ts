import type { Logger } from 'pino';
import { stateAt } from '../../projections/blocks/block-entry.js';
import { exemptNote } from '../blocks/decide.js';
import type { BlockCommandHandler } from '../commands/block-commands.js';
import type { ErrorCode } from '../kernel/errors.js';
import { StopgapError } from '../kernel/errors.js';
import type { Clock } from '../kernel/time.js';
import { decisionFields } from '../log/decisions.js';
import type { ReadModels } from './read-models.js';
import { TimeSlice } from '../runtime/time-slice.js';

export interface ExemptProposalsOptions {
  readonly blockCommands: BlockCommandHandler;
  readonly models: ReadModels;
  readonly clock: Clock;
  readonly log: Logger;
}

const BY = 'system:exemptions';
const GONE: readonly ErrorCode[] = ['conflict', 'not-found'];

/**
 * Dismisses the proposals whose subjects have become exempt: by the rules, or by an exemption of a domain or network that
 * they lie in. One of the subject itself is granted and the proposal dismissed at once, by `decide`.
 *
 * @param position of the event that made them exempt; undefined at a start
 * @throws StoreUnavailable
 */
export async function dismissExempt(
  { blockCommands, models, clock, log }: ExemptProposalsOptions,
  position?: number,
): Promise<void> {
  const correlation = position === undefined ? undefined : `event:${position}`;
  const share = new TimeSlice();
  for (const entry of [...models.ledger.pending()]) {
    if (share.spent()) await share.turn();
    const { id: block, subject } = entry;
    const now = clock.now();
    const exempted =
      stateAt(entry, now) === 'proposed' ? models.exemptions.covering(subject, now) : undefined;
    if (exempted === undefined) continue;
    try {
      const command = { kind: 'dismiss', block, note: exemptNote(exempted.reason) } as const;
      const executed = await blockCommands.execute(subject, command, { by: BY, correlation });
      log.info(
        decisionFields(BY, subject, executed, correlation),
        'a proposal of an exempt subject was dismissed',
      );
    } catch (error) {
      // Somebody else has answered it meanwhile, or it was one of a log that is gone.
      if (!(error instanceof StopgapError) || !GONE.includes(error.code)) throw error;
    }
  }
}
