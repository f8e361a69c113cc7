import type { Day, SenderDaySummarised } from '../../src/sending/day-summary.js';
import type { LeastPeak, PeakKeys } from './learning.js';
import { indexIn, WITHHELD, withDay, withFalsePositive } from './learning.js';
import type { Profile, Tail } from './profile.js';
import { asOf, baselineOf, baselineOfLargest, PLACE_KINDS, withBlock, withoutBlock } from './profile.js';

/*
 * A day is summarised an hour after midnight, and its block may come later: a person approves a proposal in the morning,
 * or the evidence of a block reaches back over midnight. A peak cannot be taken out of a profile again. So a profile
 * keeps what was known before its last days as long as a block may still contain them, and learns them anew if one does.
 */

const NOBODY: readonly string[] = [];

/** Folds the summary of a day, and keeps what contains it afterwards. */
export function withSummary(profile: Profile, summary: SenderDaySummarised, keys: PeakKeys): Profile {
  const after = withDay(profile, summary, keys);
  if (after === profile) return profile;
  const proposals = profile.tail?.proposals ?? NOBODY;
  if (proposals.length === 0 && !teaches(profile, summary, keys)) return withoutTail(after);
  const { before, summaries } =
    proposals.length === 0 ? { before: withoutTail(profile), summaries: [] } : profile.tail!;
  return withTail(after, { before, summaries: [...summaries, summary], proposals }, keys);
}

/** A block was proposed: it may contain the last days once it is decided upon. */
export function withProposal(profile: Profile, block: string): Profile {
  const { before, summaries, proposals } = profile.tail ?? {
    before: profile,
    summaries: [],
    proposals: NOBODY,
  };
  return { ...profile, tail: { before, summaries, proposals: withBlock(proposals, block) } };
}

/** A proposal is decided upon. */
export function withoutProposal(profile: Profile, block: string, keys: PeakKeys): Profile {
  const { tail } = profile;
  if (tail?.proposals.includes(block) !== true) return profile;
  return withTail(profile, { ...tail, proposals: withoutBlock(tail.proposals, block) }, keys);
}

/**
 * A block was imposed: the days from `since` on that were summarised before are contained after all. Without a proposal
 * that is yesterday alone.
 */
export function withLateBlock(
  profile: Profile,
  block: string,
  { since, today }: { readonly since: Day; readonly today: Day },
  keys: PeakKeys,
): Profile {
  const { tail } = profile;
  if (tail === undefined) return profile;
  const { before, proposals } = tail;
  const first = proposals.length > 0 ? since : Math.max(since, today - 1);
  if (!tail.summaries.some(({ day }) => day >= first)) return profile;
  const summaries = tail.summaries.map((each) =>
    each.day < first ? each : { ...each, contained: withBlock(each.contained, block) },
  );
  const learntAnew = summaries.reduce((changed, each) => withDay(changed, each, keys), before);
  return withTail(learntAnew, { before, summaries, proposals }, keys);
}

/** A block was taken back as a false positive. A person has judged the last days: no later block contains them. */
export function withPardon(
  profile: Profile,
  block: string,
  least: LeastPeak | undefined,
  keys: PeakKeys,
): Profile {
  const changed = withoutTail(withFalsePositive(profile, block, least, keys));
  const proposals = withoutBlock(profile.tail?.proposals ?? NOBODY, block);
  return withTail(changed, { before: changed, summaries: [], proposals }, keys);
}

/** No more days than could be given back again; without a proposal, the last one alone. */
function withTail(profile: Profile, { before, summaries, proposals }: Tail, keys: PeakKeys): Profile {
  const most = proposals.length > 0 ? WITHHELD : 1;
  const gone = summaries.slice(0, -most);
  const kept = summaries.slice(-most);
  if (kept.length === 0 && proposals.length === 0) return withoutTail(profile);
  const known = gone.reduce((changed, each) => withDay(changed, each, keys), before);
  return { ...profile, tail: { before: known, summaries: kept, proposals } };
}

/** The profile without days that no block can contain any more, once a day is summarised. */
export function withoutOldTail(profile: Profile, day: Day): Profile {
  const { tail } = profile;
  if (tail === undefined || tail.proposals.length > 0) return profile;
  return tail.summaries.some((each) => each.day >= day - 1) ? profile : withoutTail(profile);
}

function withoutTail(profile: Profile): Profile {
  if (profile.tail === undefined) return profile;
  const { tail: _tail, ...rest } = profile;
  return rest;
}

/** Whether a day raises a record or shows a new place: else a contained day would teach as much. Most days do not. */
function teaches(profile: Profile, summary: SenderDaySummarised, keys: PeakKeys): boolean {
  const { day, largest, contained } = summary;
  if (contained.length > 0) return false;
  const before = asOf(profile, day);
  const recordOf = (name: string): number => baselineOf(before, indexIn(keys, name), day, -Infinity).record;
  return (
    largest > baselineOfLargest(before, day).record ||
    Object.entries(summary.peaks).some(([name, peak]) => peak > recordOf(name)) ||
    PLACE_KINDS.some((kind) =>
      summary[kind]?.some((name) => !before[kind].some((place) => place.name === String(name))),
    )
  );
}
