import type { BlockJson } from '../api/block-view.js';
import { nameOf } from '../rules/explain.js';

/**
 * Why a block is there, in as few words as a row of a list has room for: what was counted, then what was allowed, then
 * the rest of the evidence's sentence without what other columns say. Where there are no numbers, what the
 * administrator gave as the reason.
 */
export function whyOf(block: BlockJson): string {
  const { evidence, description, history, origin, follows } = block;
  const ownReason =
    origin === 'admin' && description !== '' && !history.some(({ type }) => type === 'ProposalApproved');
  const since = follows === null ? [] : [followedText(follows)];
  if (evidence === null || ownReason) return [description, ...since].filter((text) => text !== '').join('; ');
  return numbersOf(block.subject, evidence, since);
}

/** The evidence's sentence without its subject and rule, and what was allowed right behind what was counted. */
export function numbersOf(
  subject: BlockJson['subject'],
  { sentence, rule }: NonNullable<BlockJson['evidence']>,
  since: readonly string[] = [],
): string {
  const name = `${nameOf(subject)}: `;
  const parts = (sentence.startsWith(name) ? sentence.slice(name.length) : sentence)
    .replace(/\.$/, '')
    .replace('in a week usually', 'usually')
    .split('; ');
  const allowance = `rule "${rule}" allows `;
  const at = parts.findIndex((part) => part.startsWith(allowance));
  if (at > 0) {
    const [said] = parts.splice(at, 1);
    // Whoever is still being learnt: said by a part that now comes behind it.
    const allows = said!.slice(allowance.length).replace(/^such a sender | to whoever is$/, '');
    parts.splice(1, 0, `allows ${allows}`);
  }
  parts.splice(at > 0 ? 2 : 1, 0, ...since);
  return parts.join('; ');
}

/** `released at 03:12 UTC by carol as a false positive`: the date is that of what follows within the hour. */
export function followedText({ state, at, by, falsePositive }: NonNullable<BlockJson['follows']>): string {
  const wrong = falsePositive ? ' as a false positive' : '';
  return `${state} at ${at.slice(11, 16)} UTC by ${by.replace(/^admin:/, '')}${wrong}`;
}
