import type { ReadModels } from '../../src/detector/read-models.js';
import { Assembly, decode, encode, framesOf } from '../../src/snapshots/snapshot-file.js';
import { DAY, HOUR, MINUTE } from '../../src/kernel/time.js';
import type { Instant } from '../../src/kernel/time.js';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { stateAt } from '../../projections/blocks/block-entry.js';
import { OVERRIDE_TYPES } from '../../src/overrides/model.js';
import { SUMS } from '../../src/rules/model.js';
import { SUBJECT_TYPES } from '../../src/sending/subjects.js';
import { dayOf } from '../../src/sending/day-summary.js';
import { timedTasks } from '../../src/detector/scheduled-jobs.js';
import { SUBJECTS } from './history.js';
import { ended } from './steps.js';

/** What a state is after it was written and read. */
export function throughFrames<State>(state: State): State {
  const assembly = new Assembly();
  for (const bytes of [...framesOf(state)].map(encode)) assembly.add(decode(Buffer.from(bytes)));
  return assembly.result() as State;
}

/** Everything that anybody can see of read models at an instant. */
export function observables(models: ReadModels, now: Instant): unknown {
  const senders = [0, 1, 2, 3].map((user) => ({
    account: `user${user}@example.com`,
    address: `user${user}@example.com`,
    ehlo: `pc${user}.example.net`,
    ip: `192.0.2.${user}`,
    direction: 'outbound' as const,
  }));
  const { activeBlocks, ledger, exemptions, automaticBlocks, overrides } = models;
  const { sendVolume, shadow, rulePrecision } = models;
  return structuredClone({
    position: models.position,
    lastEventAt: models.lastEventAt,
    active: [...activeBlocks.counts()].filter(({ count }) => count > 0).sort(byText),
    size: activeBlocks.size,
    refused: senders.map((sender) => activeBlocks.find(sender, now)),
    on: SUBJECTS.map((subject) => activeBlocks.on(subject)),
    ledger: [...ledger.kept()]
      .sort(byBegin)
      .map((entry) => [entry, stateAt(entry, now), activeBlocks.byId(entry.id)]),
    pending: [...ledger.pending()],
    ofSubject: SUBJECTS.map((subject) => [...ledger.rows.on(subject)].map((row) => ledger.rows.at(row).id)),
    inForce: senders.map((sender) =>
      [now, now - HOUR, now - DAY].map((at) => ledger.rows.inForce(sender, at)),
    ),
    tasks: [...timedTasks(ledger)],
    exemptions: exemptions.list(now),
    covering: SUBJECTS.map((subject) => exemptions.covering(subject, now)),
    automatic: automaticBlocks.breakers.map((breaker) =>
      [MINUTE, HOUR, DAY].map((window) => automaticBlocks.within(breaker, window, now)),
    ),
    overrides: OVERRIDE_TYPES.map((type) => overrides.page(type, '', '', 9)),
    limits: SUBJECTS.map(({ type, value }) =>
      ['burst', 'hour', 'size'].map((rule) => overrides.explain(rule, type, value, 7, now)),
    ),
    rules: sendVolume.rules,
    readings: SUBJECTS.map((subject) => sendVolume.readings(subject, now)),
    busiest: SUBJECT_TYPES.map((type) => SUMS.map((count) => ended(sendVolume.busiest(type, count, 3, now)))),
    sizes: sendVolume.sizes(),
    profiles: baselines(models, now),
    precision: rulePrecision.all(),
    shadow: shadow.set,
    shadowRules: shadow.rules,
    differences: shadow.comparison?.differences(),
    tallies: [...(shadow.comparison?.tallies() ?? [])],
  });
}

/** What is known of what senders usually do. */
export function baselines(models: ReadModels, now: Instant): unknown {
  const { profiles } = models.sendVolume;
  const senders = SUBJECTS.flatMap(({ type, value }) =>
    type === 'account' || type === 'domain' ? [[type, value] as const] : [],
  );
  const today = dayOf(now);
  const due = [...profiles.due(today)].map(({ data }) => data).sort(byText);
  return {
    peaks: profiles.peaks.dump(),
    sizes: profiles.sizes,
    due,
    of: senders.map(([type, value]) => [profiles.profile(type, value, today), profiles.open(type, value)]),
  };
}

function byBegin(a: BlockEntry, b: BlockEntry): number {
  return a.history[0]!.position - b.history[0]!.position;
}

function byText(a: unknown, b: unknown): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1;
}
