import { EffectiveBlocks, SeenIds } from '../../projections/blocks/effective-blocks.js';
import type { BlockEvent } from '../blocks/events.js';
import { BLOCK_CATEGORY, isBlockEvent } from '../blocks/events.js';
import { DAY_SUMMARY_JOB } from '../detector/scheduled-jobs.js';
import { StopgapError } from '../kernel/errors.js';
import type { RecordedEvent } from '../kernel/events.js';
import { categoryOf } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import { FOLDED_CATEGORIES } from '../detector/projector.js';
import type { RulesChanged } from '../rules/model.js';
import { RULES_CATEGORY } from '../rules/model.js';
import type { Day, SenderDaySummarised } from '../sending/day-summary.js';
import { PROFILE_CATEGORY, dayOf } from '../sending/day-summary.js';
import { isImported } from '../sending/events.js';
import { subjectKey } from '../sending/subjects.js';
import type { Subject } from '../sending/subjects.js';
import type { ReadableStore } from '../store/open-for-reading.js';
import type { BacktestCase, CaseVerdict } from './cases.js';
import type { Batch, Source } from './world.js';
import type { Candidate } from './trial.js';

const TOGETHER = 512;
/** What counts towards the day of a sender. */
const COUNTED: readonly string[] = ['MessageAccepted', 'RecipientsRefused', 'BounceReceived'];

/** What a store has recorded. */
export class RecordedHistory implements Source {
  readonly name = 'history';
  imported = 0;
  readonly #store: ReadableStore;

  constructor(store: ReadableStore) {
    this.#store = store;
  }

  /** @throws StoreUnavailable */
  async *batches(): AsyncGenerator<Batch> {
    const total = await this.#store.head();
    const replay = new Replay();
    const [seen, blocks] = [new SeenIds(), new EffectiveBlocks()];
    this.imported = 0;
    let activities: RecordedEvent[] = [];
    // All categories: a store gives those faster than some.
    for await (const event of this.#store.readAll({ until: total })) {
      if (!seen.isNew(event.id)) continue;
      if (event.type === 'MessageAccepted' && isImported(event)) this.imported++;
      if (!replay.takes(event)) continue;
      if (categoryOf(event.stream) === BLOCK_CATEGORY && isBlockEvent(event))
        activities.push(...blocks.take(event));
      else activities.push(event);
      if (activities.length < TOGETHER) continue;
      yield { activities, done: event.position, total };
      activities = [];
    }
    yield { activities, done: total, total };
  }
}

/** Which of the recorded events happen again. */
class Replay {
  /** From here on days are summarised again, from the mail that the rules under test let through. */
  #firstDay: Day | undefined;

  takes(event: RecordedEvent): boolean {
    const { type, stream } = event;
    // What was imported is over: its baselines are in the summaries of its days, and a trace tries rules on it.
    if (isImported(event)) return false;
    if (COUNTED.includes(type)) {
      this.#firstDay ??= dayOf(event.at);
      return true;
    }
    const category = categoryOf(stream);
    if (category === PROFILE_CATEGORY) return !this.#isSummarisedAnew(event);
    // The rules under test take the place of those that were in force, in the shadow too.
    return category !== RULES_CATEGORY && FOLDED_CATEGORIES.includes(category);
  }

  #isSummarisedAnew({ by, data }: RecordedEvent): boolean {
    const { day } = (data ?? {}) as Partial<SenderDaySummarised>;
    return (
      by === DAY_SUMMARY_JOB.by && this.#firstDay !== undefined && day !== undefined && day >= this.#firstDay
    );
  }
}

/**
 * The newest rules that were recorded.
 *
 * @throws StopgapError if there are none, as in a store that no server has opened yet
 */
export async function rulesInForce(store: ReadableStore): Promise<Candidate & { readonly source: string }> {
  const seen = new SeenIds();
  let newest: RulesChanged | undefined;
  for await (const { id, type, data } of store.readAll({ categories: [RULES_CATEGORY] })) {
    if (seen.isNew(id) && type === 'RulesChanged') newest = data as RulesChanged;
  }
  if (newest === undefined)
    throw new StopgapError('not-found', 'no rules are in force yet: name a rules file');
  const { version, rules, source } = newest;
  return { name: `rules in force (version ${version})`, rules, source };
}

/** What people have made of one case that was recorded. */
interface Judged {
  readonly from: Instant;
  readonly to: Instant;
  readonly judgement: NonNullable<CaseVerdict>;
}

/** Recorded cases that have not ended. */
type Open = Map<string, { readonly subject: Subject; readonly from: Instant }>;

/**
 * What people have said of the blocks and proposals that were recorded. One that was released as a false positive, or
 * dismissed, was wrong; a block that ran out, or that was released without that word, was right. An
 * approved proposal is judged by its block.
 */
export class RecordedFeedback {
  readonly #judged = new Map<string, Judged[]>();

  /** @throws StoreUnavailable */
  static async of(store: ReadableStore): Promise<RecordedFeedback> {
    const judgements = new RecordedFeedback();
    const [seen, blocks] = [new SeenIds(), new EffectiveBlocks()];
    const open: Open = new Map();
    for await (const event of store.readAll({ categories: [BLOCK_CATEGORY] })) {
      if (!seen.isNew(event.id) || !isBlockEvent(event)) continue;
      for (const effect of blocks.take(event)) judgements.#apply(effect, open);
    }
    return judgements;
  }

  /** Of a case whose subject had a recorded one at the same time: of several the one that was wrong. */
  of({ subject, proposedAt, blockedAt, endedAt }: BacktestCase): CaseVerdict {
    const from = proposedAt ?? blockedAt!;
    const to = endedAt ?? Infinity;
    const met =
      this.#judged.get(subjectKey(subject))?.filter((one) => one.from <= to && from <= one.to) ?? [];
    return met.find(({ judgement }) => judgement === 'wrong')?.judgement ?? met[0]?.judgement ?? null;
  }

  #apply(event: BlockEvent, open: Open): void {
    switch (event.type) {
      case 'BlockProposed':
      case 'BlockImposed': {
        const { block, subject, rule } = event.data;
        if (rule !== undefined && !open.has(block)) open.set(block, { subject, from: event.at });
        return;
      }
      case 'BlockReleased':
        return this.#end(event.data.block, open, event.at, event.data.falsePositive ? 'wrong' : 'right');
      case 'ProposalDismissed':
        return this.#end(event.data.block, open, event.at, 'wrong');
      case 'BlockExpired':
        return this.#end(event.data.block, open, event.at, 'right');
      case 'ProposalLapsed': // nobody answered: it says nothing
        open.delete(event.data.block);
        return;
      case 'ProposalApproved': // the block that follows will be judged
      case 'BlockExtended':
      case 'BlockShortened':
      case 'ExemptionGranted':
      case 'ExemptionRevoked':
      case 'ExemptionApplied':
      case 'RuleObserved':
      case 'HeldMailDecided':
      case 'HookRan':
        return;
    }
  }

  #end(block: string, open: Open, to: Instant, judgement: NonNullable<CaseVerdict>): void {
    const begun = open.get(block);
    if (begun === undefined) return;
    open.delete(block);
    const key = subjectKey(begun.subject);
    const judged = this.#judged.get(key) ?? [];
    if (judged.length === 0) this.#judged.set(key, judged);
    judged.push({ from: begun.from, to, judgement });
  }
}
