import type { BlockJson } from '../api/shapes.js';
import { nameOf } from '../rules/explain.js';

/**
 * Why a block is there, in as few words as a row of a list has room for: what was counted, then what was allowed, then
 * the rest of the evidence's sentence without what other columns say. Where there are no numbers, what the
 * administrator gave as the reason.
 */
export function whyOf(block: BlockJson): string {
  const { evidence, description, history, origin } = block;
  const ownReason =
    origin === 'admin' && description !== '' && !history.some(({ type }) => type === 'ProposalApproved');
  if (evidence === null || ownReason) return description;
  const { sentence, rule } = evidence;
  const name = `${nameOf(block.subject)}: `;
  const parts = (sentence.startsWith(name) ? sentence.slice(name.length) : sentence)
    .replace(/\.$/, '')
    .replace('in a week usually', 'usually')
    .split('; ');
  const allowance = `rule "${rule}" allows `;
  const at = parts.findIndex((part) => part.startsWith(allowance));
  if (at > 0) {
    const [said] = parts.splice(at, 1);
    // Whoever is still being learnt: said by a part that now comes behind it.
    const allows = said!.slice(allowance.length).replace(' to whoever is', '');
    parts.splice(1, 0, `allows ${allows}`);
  }
  return parts.join('; ');
}
