import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import { coverageOf } from '../../projections/blocks/exemptions.js';
import { isOver } from '../blocks/state.js';
import type { Subject } from '../sending/subjects.js';
import { TimeSlice } from '../runtime/time-slice.js';
import type { ApiDependencies } from './dependencies.js';
import type { GrantedExemptionJson } from './shapes.js';
import { EXEMPT_BLOCKS_NAMED } from './shapes.js';
import { instant, subjectView } from './views.js';

/** The blocks that go on although rules must no longer act on their subjects. */
export async function blocksOfExempt(
  exempt: readonly Subject[],
  { models, clock }: Pick<ApiDependencies, 'models' | 'clock'>,
): Promise<readonly ActiveBlock[]> {
  if (exempt.length === 0) return [];
  const [covers, now, share] = [coverageOf(exempt), clock.now(), new TimeSlice()];
  const found: ActiveBlock[] = [];
  for (const block of models.activeBlocks.all()) {
    if (!isOver(block.until, now) && covers(block)) found.push(block);
    if (found.length === EXEMPT_BLOCKS_NAMED) break;
    if (share.spent()) await share.turn();
  }
  return found;
}

export function exemptBlocksView(
  blocks: readonly ActiveBlock[],
  blocksPath: string,
): GrantedExemptionJson['blocks'] {
  return blocks.map((block) => ({
    ...{ id: block.id, subject: subjectView(block), direction: block.direction },
    ...{ until: instant(block.until), release: `${blocksPath}/${block.id}/release` },
  }));
}
