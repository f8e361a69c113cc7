import type { BlockLedger } from '../projections/block-ledger.js';
import type { BlockEvent } from './blocks/events.js';
import type { TimedWork } from './expiry/port.js';

/** Keeps the timed work in step with the ledger: what a block event means for when something falls due. */
export function planTimedWork(work: TimedWork, ledger: BlockLedger, event: BlockEvent): void {
  if (!('block' in event.data)) return;
  const entry = ledger.get(event.data.block);
  if (entry === undefined) return;
  const { id: block, subject, state, until, lapsesAt } = entry;
  if (state === 'active' && typeof until === 'number')
    work.plan({ kind: 'expire', block, subject, dueAt: until });
  else work.cancel('expire', block);
  if (state === 'proposed' && lapsesAt !== undefined)
    work.plan({ kind: 'lapse', block, subject, dueAt: lapsesAt });
  else work.cancel('lapse', block);
}
