import fc from 'fast-check';
import type { BlockCommand } from '../../src/blocks/commands.js';
import { decide } from '../../src/blocks/decide.js';
import type { BlockEvent } from '../../src/blocks/events.js';
import { NOTHING_YET, evolve } from '../../src/blocks/state.js';
import type { Standing } from '../../src/blocks/state.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import { StopgapError } from '../../src/kernel/errors.js';
import { DAY_SUMMARY_JOB } from '../../src/detector/scheduled-jobs.js';
import { DAY, HOUR, MINUTE, SECOND } from '../../src/kernel/time.js';
import { overrideStream } from '../../src/overrides/events.js';
import type { ReadModelListeners } from '../../src/detector/read-models.js';
import { ReadModels } from '../../src/detector/read-models.js';
import type { Verdict } from '../../src/rules/respond.js';
import type { Subject } from '../../src/sending/subjects.js';
import { subjectKey } from '../../src/sending/subjects.js';
import { OTHER, OVERRIDES, POISON, RULES, START, STRICTER, SUBJECTS } from './history-world.js';
import { blockEvent, event, failed, rulesChanged, sent, shadowChanged } from './sends.js';

export { START, SUBJECTS } from './history-world.js';

/* Logs of a small system that ran: every kind of event, verdicts acted upon, people, timers, damage. */

const PERSON = ['impose', 'release', 'dismiss', 'approve', 'change', 'grant', 'revoke'] as const;

const step = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record(
      {
        kind: fc.constant('send' as const),
        user: fc.nat(3),
        recipients: fc.integer({ min: 1, max: 12 }),
        skew: fc.oneof(fc.constant(0), fc.integer({ min: -HOUR, max: HOUR })),
        /** Where from: 0 is where this one always sends from. */
        from: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(3)),
        times: fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, fc.integer({ min: 2, max: 4 })),
      },
      { requiredKeys: ['kind', 'user', 'recipients', 'skew'] },
    ),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('refused' as const),
      user: fc.nat(3),
      count: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record(
      {
        kind: fc.constant('person' as const),
        what: fc.constantFrom(...PERSON),
        subject: fc.nat(SUBJECTS.length - 1),
        falsePositive: fc.boolean(),
      },
      { requiredKeys: ['kind', 'what', 'subject'] },
    ),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('bounce' as const), user: fc.nat(3) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('fail' as const), count: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('override' as const), which: fc.nat(3), set: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rules' as const), other: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('shadow' as const),
      what: fc.constantFrom('same', 'stricter', 'stricter', 'stricter', 'promote', 'remove'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('back' as const), by: fc.nat(3 * HOUR) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('again' as const), which: fc.nat() }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('poison' as const), which: fc.nat(POISON.length - 1) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** Pauses in milliseconds, and what happens after them. */
export const histories = fc.array(
  fc.tuple(fc.oneof(fc.nat(20 * SECOND), fc.nat(3 * MINUTE), fc.nat(40 * MINUTE), fc.nat(2 * DAY)), step),
  { minLength: 1, maxLength: 120, size: 'max' },
);

/** Read models, and the verdicts that they have given. */
export function folding(): { models: ReadModels; verdicts: Verdict[] } {
  const verdicts: Verdict[] = [];
  const listeners: ReadModelListeners = {
    onVerdict: (verdict) => verdicts.push(verdict),
    onBlockEvent: () => undefined,
    onRulesChanged: () => undefined,
    onSkipped: () => undefined,
  };
  return { models: new ReadModels(listeners), verdicts };
}

/** By their histories: with one seed, properties try the same ones again, and to play one takes as long as to fold it. */
const played = new Map<string, readonly RecordedEvent[]>();

/** The log that a history makes. */
export function logOf(history: readonly (readonly [pause: number, step: Step])[]): readonly RecordedEvent[] {
  const text = JSON.stringify(history);
  let log = played.get(text);
  if (log === undefined) {
    const system = new System();
    for (const [pause, each] of history) system.play(pause, each);
    played.set(text, (log = system.log));
  }
  return log;
}

class System {
  readonly log: RecordedEvent[] = [];
  readonly #folding = folding();
  readonly #standings = new Map<string, Standing>();
  #now = START;
  #job = DAY_SUMMARY_JOB.after(START);
  #ids = 0;
  #shadows = 0;

  constructor() {
    this.#fold(rulesChanged(RULES, this.#now, 1));
  }

  play(pause: number, step: Step): void {
    this.#pass(this.#now + pause);
    for (const { block, proposal } of [...this.#standings.values()]) {
      if (block !== undefined) this.#decide(block.subject, { kind: 'expire', block: block.id });
      if (proposal !== undefined) this.#decide(proposal.subject, { kind: 'lapse', block: proposal.id });
    }
    const position = this.log.length + 1;
    switch (step.kind) {
      case 'send':
        return this.#send(step);
      case 'person':
        return this.#person(step);
      case 'bounce':
        return this.#fold(
          event('BounceReceived', { address: `user${step.user}@example.com` }, this.#now, position),
        );
      case 'refused': {
        const account = `user${step.user}@example.com`;
        const sender = {
          account,
          returnPath: account,
          direction: 'outbound',
          transaction: 't',
          entitled: true,
        };
        return this.#fold(
          event('RecipientsRefused', { ...sender, count: step.count, code: 550 }, this.#now, position),
        );
      }
      case 'fail':
        return this.#fold(failed(this.#now, position, { count: step.count }));
      case 'rules': {
        const version = this.#folding.models.sendVolume.rules.version + 1;
        return this.#fold(rulesChanged(step.other ? OTHER : RULES, this.#now, position, version));
      }
      case 'shadow':
        return this.#shadow(step);
      case 'override': {
        const [subject, terms] = OVERRIDES[step.which]!;
        const origin = step.which % 2 === 0 ? 'api' : 'file';
        const data = { subject, origin, ...(step.set ? { ...terms, until: this.#now + DAY } : {}) };
        const type = step.set ? 'OverrideSet' : 'OverrideRemoved';
        return this.#fold(event(type, data, this.#now, position, { stream: overrideStream(subject) }));
      }
      case 'back':
        // The store's own clock is set back.
        this.#now -= step.by;
        return;
      case 'again':
        return this.#fold({ ...this.log[step.which % this.log.length]!, position, revision: position });
      case 'poison': {
        const [type, data] = POISON[step.which]!;
        return this.#fold(event(type, data, this.#now, position));
      }
    }
  }

  /** Days are summarised when they would be. */
  #pass(until: number): void {
    while (this.#job <= until) {
      this.#now = this.#job;
      for (const { type, data, stream } of DAY_SUMMARY_JOB.run(this.#folding.models, this.#now)) {
        this.#fold(event(type, data, this.#now, this.log.length + 1, { stream, by: DAY_SUMMARY_JOB.by }));
      }
      this.#job = DAY_SUMMARY_JOB.after(this.#now);
    }
    this.#now = until;
  }

  #send(step: Step & { kind: 'send' }): void {
    const { user, recipients, skew, from = 0, times = 1 } = step;
    for (let index = 0; index < times; index++) this.#message(user, recipients, skew, from);
  }

  #message(user: number, recipients: number, skew: number, from: number): void {
    const position = this.log.length + 1;
    const account = `user${user}@example.com`;
    const refusing = this.#folding.models.activeBlocks.find(
      { account, address: account, ehlo: undefined, ip: undefined, direction: 'outbound' },
      this.#now,
    );
    const envelope = { recordedAt: this.#now };
    const place =
      from === 0
        ? { ehlo: `pc${user}.example.net`, ip: `192.0.2.${user}` }
        : {
            ehlo: `bot${from}.example.net`,
            ip: `203.0.${from}.${user}`,
            country: `Z${from}`,
            asn: 64_500 + from,
          };
    const sender = { account, returnPath: account, ...place };
    if (refusing === undefined) {
      return this.#fold(sent(this.#now + skew, position, { ...sender, recipients, size: 1500 }, envelope));
    }
    const told = { stage: 'rcpt', block: refusing.id, reply: '', count: 1, since: this.#now };
    const data = { ...sender, ...told, direction: 'outbound' };
    this.#fold(event('MessageRefused', data, this.#now + skew, position, envelope));
  }

  #person({ what, subject: index, falsePositive = false }: Step & { kind: 'person' }): void {
    // Who looks for something to release or to judge finds what came last.
    const waiting = [...this.#standings.values()].findLast((each) =>
      what === 'release' ? each.block !== undefined : what === 'approve' && each.proposal !== undefined,
    );
    const subject = (waiting?.block ?? waiting?.proposal)?.subject ?? SUBJECTS[index]!;
    const { block, proposal, exemption } = this.#standings.get(subjectKey(subject)) ?? NOTHING_YET;
    const newId = `id-${++this.#ids}`;
    const until = this.#now + 45 * MINUTE;
    const terms = { direction: 'all', description: '', refusal: 'soft' } as const;
    switch (what) {
      case 'impose':
        return this.#decide(subject, {
          kind: what,
          subject,
          ...terms,
          until: this.#ids % 2 ? START + DAY : null,
          newId,
        });
      case 'release':
        return this.#decide(subject, { kind: what, block: block?.id ?? '', falsePositive });
      case 'change':
        return this.#decide(subject, { kind: 'change', block: block?.id ?? '', span: { until } });
      case 'grant':
        return this.#decide(subject, { kind: what, subject, until: null, reason: 'test', newId });
      case 'revoke':
        return this.#decide(subject, { kind: what, exemption: exemption?.id ?? '' });
      case 'dismiss':
        return this.#decide(subject, { kind: what, block: proposal?.id ?? '', falsePositive });
      case 'approve':
        return this.#decide(subject, { kind: what, block: proposal?.id ?? '' });
    }
  }

  #shadow({ what }: Step & { kind: 'shadow' }): void {
    const { shadow, sendVolume } = this.#folding.models;
    const fold = (recorded: RecordedEvent): void =>
      this.#fold({ ...recorded, stream: 'rules', by: 'admin:test' });
    const next = (): number => this.log.length + 1;
    if (what === 'same' || what === 'stricter') {
      const rules = what === 'same' ? RULES : STRICTER;
      if (shadow.set?.source === rules) return;
      return fold(shadowChanged(rules, this.#now, next(), ++this.#shadows));
    }
    if (shadow.set === undefined) return;
    const { version, source } = shadow.set;
    fold(
      event(
        what === 'promote' ? 'ShadowRulesPromoted' : 'ShadowRulesRemoved',
        { version },
        this.#now,
        next(),
      ),
    );
    if (what === 'promote') fold(rulesChanged(source, this.#now, next(), sendVolume.rules.version + 1));
  }

  #act({ kind, rule, subject, evidence }: Verdict): void {
    if (kind === 'renew')
      return this.#decide(subject, { kind, duration: rule.for!, direction: rule.direction, evidence });
    if (rule.then === 'observe')
      return this.#decide(subject, { kind: 'observe', subject, action: 'observe', evidence });
    const {
      direction,
      refuse: refusal,
      for: duration,
      escalate,
      lapse,
      renewWhileTrying,
      id: description,
    } = rule;
    const terms = { direction, refusal, duration, escalate, lapse, renewWhileTrying, description };
    const exemptedBy = this.#folding.models.exemptions.covering(subject, this.#now);
    const spared = exemptedBy === undefined ? {} : { exemptedBy };
    const newId = `id-${++this.#ids}`;
    this.#decide(subject, { kind: 'act', action: rule.then, subject, terms, evidence, newId, ...spared });
  }

  #decide(subject: Subject, command: BlockCommand): void {
    const key = subjectKey(subject);
    let standing = this.#standings.get(key) ?? NOTHING_YET;
    try {
      for (const fact of decide({ ...command, now: this.#now }, standing)) {
        const by = command.kind === 'act' ? 'rule:x@1' : 'admin:test';
        const recorded = {
          ...blockEvent(fact, fact.at ?? this.#now, this.log.length + 1),
          recordedAt: this.#now,
          by,
        };
        standing = evolve(standing, recorded as RecordedEvent & BlockEvent);
        this.#standings.set(key, standing);
        this.#fold(recorded);
      }
    } catch (error) {
      // What people try in vain is part of the play.
      if (!(error instanceof StopgapError)) throw error;
    }
  }

  #fold(recorded: RecordedEvent): void {
    this.log.push(recorded);
    this.#folding.models.apply(recorded);
    for (const verdict of this.#folding.verdicts.splice(0)) this.#act(verdict);
  }
}
