import { readFileSync } from 'node:fs';
import path from 'node:path';
import { comparisonOf } from '../../projections/blocks/shadow.js';
import { BacktestWorld } from '../../src/backtest/world.js';
import type { BlockCommand } from '../../src/blocks/commands.js';
import { BLOCK_CATEGORY } from '../../src/blocks/events.js';
import type { BlockEvent } from '../../src/blocks/events.js';
import { SCHEDULED_JOBS } from '../../src/detector/scheduled-jobs.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import { formatDuration, parseDuration } from '../../src/kernel/time.js';
import type { OverrideSubject, Terms } from '../../src/overrides/model.js';
import type { RulesChanged } from '../../src/rules/model.js';
import { parseRules } from '../../src/rules/parse.js';
import type { Verdict } from '../../src/rules/respond.js';
import type { SenderFields } from '../../src/sending/events.js';
import type { Subject } from '../../src/sending/subjects.js';
import { senderIdentity, subjectKey, subjectOfKey } from '../../src/sending/subjects.js';
import { event } from '../support/sends.js';

/** When every case begins. */
const START = Date.UTC(2026, 2, 1, 12);

/** One line of events.ndjson. Exactly one of `type`, `command`, `override`, `rules` and `shadow` says what happens. */
interface Line {
  /** Since the beginning of the case, such as `10m5s`. */
  readonly at: string;
  /** An event type of DESIGN's list, with what its data differs in from {@link DEFAULTS}. */
  readonly type?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  /** So many in all, `every` so far apart; `{n}` in the data becomes 0, 1, 2 … */
  readonly times?: number;
  readonly every?: string;
  /** The whole of it, so many times in all, so far apart. */
  readonly again?: { readonly times: number; readonly every: string };
  /** Somebody's command; the subject is that of the block which it names. */
  readonly command?: { readonly kind: string; readonly block?: string } & Readonly<Record<string, unknown>>;
  /** What somebody bought, from here on. */
  readonly override?: { readonly subject: OverrideSubject } & Terms;
  /** A rules file of the case that comes into force. */
  readonly rules?: string;
  /** A rules file of the case that runs in the shadow from here on, or what is to be done with the one that does. */
  readonly shadow?: { readonly load: string } | 'report' | 'promote';
}

const SENDER = { account: 'alice@example.com', returnPath: 'alice@example.com', ehlo: 'pc.example.com',
  ip: '198.51.100.7', direction: 'outbound', transaction: 't', entitled: true,
};
const DEFAULTS: Readonly<Record<string, object>> = {
  MessageAccepted: { ...SENDER, recipients: 1, size: 2000, recipientDomains: ['example.org'] },
  RecipientsRefused: { ...SENDER, count: 1, code: 550 },
  BounceReceived: { address: 'alice@example.com' },
  AuthenticationFailed: { network: '203.0.113.9', kind: 'genuine', count: 1, since: 0 },
};

export type Outcome = Readonly<Record<string, unknown>>;

/** Replays one case in the world of a back-test: as the running system would go through it, but in no time. */
export class Replay {
  readonly #folder: string;
  readonly #world: BacktestWorld;
  readonly #subjectOf = new Map<string, Subject>();
  readonly #outcomes: Record<string, unknown>[] = [];
  #version = 1;

  constructor(folder: string) {
    this.#folder = folder;
    this.#world = new BacktestWorld({ rules: this.#read('rules.yaml').rules, start: START, scheduledJobs: SCHEDULED_JOBS,
      onVerdict: (verdict) => this.#tripped(verdict),
      onBlockEvent: (changed) => this.#decided(changed),
    });
  }

  run(): readonly Outcome[] {
    const text = readFileSync(path.join(this.#folder, 'events.ndjson'), 'utf8');
    for (const line of text.split('\n').filter((each) => each.trim() !== '')) {
      this.#play(JSON.parse(line) as Line);
    }
    if (this.#world.skipped > 0) throw new Error(this.#world.skippedFor);
    return this.#outcomes;
  }

  #play(line: Line): void {
    const { again = { times: 1, every: '0s' }, times = 1, every = '0s' } = line;
    for (let run = 0; run < again.times; run++) {
      const first = START + span(line.at) + run * span(again.every);
      for (let index = 0; index < times; index++) this.#playOnce(line, index, first + index * span(every));
    }
  }

  #playOnce(line: Line, index: number, now: number): void {
    this.#world.advance(now);
    if (line.override !== undefined) this.#override(line.override, now);
    else if (line.rules !== undefined) this.#useRules(line.rules, now);
    else if (line.shadow !== undefined) this.#inShadow(line.shadow, now);
    else if (line.command !== undefined) this.#command(line.command);
    else this.#happen(line, index, now);
  }

  #override({ subject, ...terms }: NonNullable<Line['override']>, now: number): void {
    const data = { subject, origin: 'api', until: null, ...terms };
    this.#fold('OverrideSet', data, now, 'admin:panel');
  }

  #happen({ type, data }: Line, index: number, now: number): void {
    const defaults = type === undefined ? undefined : DEFAULTS[type];
    if (type === undefined || defaults === undefined) throw new Error(`no such event type: ${String(type)}`);
    const filled = JSON.parse(JSON.stringify({ ...defaults, ...data }).replaceAll('{n}', String(index))) as object;
    // A sender that is blocked gets no further: the attempt is refused, which is no send.
    const block = type === 'MessageAccepted' ? this.#refusing(filled as SenderFields) : undefined;
    if (block === undefined) this.#fold(type, filled, now);
    else {
      this.#note({ at: offset(now), refusedBy: block });
      this.#fold('MessageRefused', { ...filled, block, stage: 'rcpt', reply: '451', count: 1, since: now }, now);
    }
  }

  #refusing(sender: SenderFields): string | undefined {
    return this.#world.refusing(senderIdentity(sender))?.id;
  }

  #tripped({ rule, subject, evidence, kind }: Verdict): void {
    const { observed, limit, firstPosition, lastPosition, sentence } = evidence;
    const which = { kind, rule: `${rule.id}@${evidence.version}`, subject: subjectKey(subject) };
    const verdict = { ...which, observed, limit, firstPosition, lastPosition, sentence };
    this.#note({ at: offset(this.#world.now), verdict });
  }

  #command(command: NonNullable<Line['command']>): void {
    const subject = (command['subject'] as Subject | undefined) ?? this.#subjectOf.get(command.block ?? '');
    if (subject === undefined) throw new Error(`no such block: ${command.block ?? '(none named)'}`);
    const until = typeof command['until'] === 'string' ? { until: START + span(command['until']) } : {};
    const full = { newId: this.#world.newId(), ...command, ...until } as unknown as BlockCommand;
    this.#world.execute(subject, full, 'admin:carol');
  }

  /** A block, a proposal or an exemption has changed. */
  #decided(changed: BlockEvent): void {
    const { type, data, at, by, stream } = changed as BlockEvent & RecordedEvent;
    const key = stream.slice(`${BLOCK_CATEGORY}-`.length);
    if ('block' in data) this.#subjectOf.set(data.block, subjectOfKey(key)!);
    this.#note({ at: offset(at), by, event: type, ...brief(data, key) });
  }

  #read(file: string): RulesChanged {
    const source = readFileSync(path.join(this.#folder, file), 'utf8');
    return { version: this.#version, rules: parseRules(source, file), source, origin: 'file' };
  }

  #useRules(file: string, at: number): void {
    this.#version++;
    this.#fold('RulesChanged', this.#read(file), at);
  }

  #fold(type: string, data: unknown, at: number, by = 'test'): void {
    const { stream } = event(type, data, at, 1);
    this.#world.fold({ type, data, at, recordedAt: at, by, stream });
  }

  #inShadow(what: NonNullable<Line['shadow']>, now: number): void {
    if (what === 'report') return this.#report(now);
    const { set } = this.#world.models.shadow;
    if (what === 'promote') {
      this.#fold('ShadowRulesPromoted', { version: set!.version }, now);
      return this.#useRules(set!.source, now);
    }
    const source = readFileSync(path.join(this.#folder, what.load), 'utf8');
    const rules = parseRules(source, what.load);
    // The file's name in place of its text: a promotion reads it again.
    const data = { version: (set?.version ?? 0) + 1, rules, source: what.load };
    this.#fold('ShadowRulesChanged', data, now);
  }

  #report(now: number): void {
    const comparison = this.#world.models.shadow.comparison!;
    for (const each of comparison.differences().toReversed()) {
      const [live, shadow] = [each.live, each.shadow].map((asked) => asked?.evidence.sentence);
      const which = { difference: comparisonOf(each), subject: subjectKey(each.subject) };
      this.#note({ at: offset(now), ...which, settled: !comparison.isOpen(each), live, shadow });
    }
    this.#note({ at: offset(now), compared: Object.fromEntries(comparison.tallies()) });
  }

  /** Refusals that follow one another are one outcome. */
  #note(outcome: Record<string, unknown>): void {
    const last = this.#outcomes.at(-1);
    if (outcome['refusedBy'] === undefined || last?.['refusedBy'] !== outcome['refusedBy']) {
      this.#outcomes.push(outcome['refusedBy'] === undefined ? outcome : { ...outcome, times: 1 });
    } else last['times'] = (last['times'] as number) + 1;
  }
}

function brief(data: object, subject: string): Record<string, unknown> {
  const { until, lapsesAt, evidence, subject: _, ...rest } = data as Record<string, unknown>;
  const instant = (value: unknown): unknown => (typeof value === 'number' ? offset(value) : value);
  return {
    ...('block' in rest ? { block: rest['block'] } : {}),
    subject,
    ...rest,
    ...(until === undefined ? {} : { until: instant(until) }),
    ...(lapsesAt === undefined ? {} : { lapsesAt: instant(lapsesAt) }),
    ...(typeof rest['dueAt'] === 'number' ? { dueAt: instant(rest['dueAt']) } : {}),
    ...(evidence === undefined ? {} : { evidence: (evidence as { lastPosition: number }).lastPosition }),
  };
}

function span(text: string): number {
  const length = text === '0s' ? 0 : parseDuration(text);
  if (length === undefined) throw new Error(`"${text}" is no duration`);
  return length;
}

function offset(at: number): string {
  return formatDuration(at - START);
}
