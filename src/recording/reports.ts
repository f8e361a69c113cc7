import type { SenderPolicy } from '../accounts/senders.js';
import { isEntitled } from '../accounts/senders.js';
import type { Config } from '../config/schema.js';
import { StopgapError } from '../kernel/errors.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { DAY, MINUTE, SECOND } from '../kernel/time.js';
import { Turns } from '../kernel/turns.js';
import type { Metrics } from '../metrics/metrics.js';
import type { ReportMeter } from '../metrics/policy.js';
import type { SmtpMeter } from '../metrics/smtp.js';
import { idOf, queuedMessageId } from '../runtime/ids.js';
import type { AuthEvent, MessageAccepted, SendEvent, SenderFields } from '../sending/events.js';
import { authStream, CLOCK_TOLERANCE, isImported, messagesOf, sendStream } from '../sending/events.js';
import { clientNetwork, normalizeAddress, normalizeDomain } from '../sending/identity.js';
import { sendStreamKey } from '../sending/subjects.js';
import type { EventStore } from '../store/port.js';
import type { Recorder } from './recorder.js';
import type { ReturnedReport } from './returned.js';
import { placeReturned } from './returned.js';
import type { Names, VerdictContext } from './verdicts.js';
import { Verdicts } from './verdicts.js';

/** Recipient domains that an event names. */
const MOST_DOMAINS = 20;
/** Items of one batch that the store gets at a time. */
const AT_ONCE = 64;
/**
 * A message that was recorded before midnight may be reported as of after it: the day of the first report counts. They are at
 * most so much apart.
 */
const APART: Milliseconds = 10 * MINUTE;
/** Longer than mail servers try, five days as a rule. */
const TRIED: Milliseconds = 7 * DAY;
/** So many of a sender's events are looked through. */
const MOST_LOOKED_AT = 5000;
/**
 * Of a busy sender many thousand events are read, each slice of which holds the event loop, and anybody can have a forged report
 * reported: so many are looked through at a time, and those who report take turns.
 */
const LOOKS = { atOnce: 2, queue: 500, refusal: 'too many reports wait to be looked into' };
/** What a batch may take: less than a request may. */
const PATIENCE: Milliseconds = 10 * SECOND;

/** What a mail server, or a program beside it, has seen. Checked, with fit names. */
export type Report = ReportHead &
  (
    | {
        readonly type: 'accepted';
        readonly names: Names;
        readonly recipients: number;
        readonly size: number;
        readonly recipientDomains: readonly string[];
        /** The message of this queue id was reported with fewer recipients: it has so many. */
        readonly further?: boolean | undefined;
      }
    | {
        readonly type: 'recipients-refused';
        readonly names: Names;
        readonly count: number;
        readonly code: number;
      }
    | { readonly type: 'bounce'; readonly address: string; readonly ip: string }
    | ({ readonly type: 'returned' } & ReturnedReport)
    | { readonly type: 'login-failed'; readonly account: string; readonly ip: string; readonly count: number }
  );

interface ReportHead {
  /** The reporter's own: the same for the same event, however often it is reported. */
  readonly id: string;
  /** Under which the mail server has queued the message. */
  readonly queueId?: string | undefined;
  /** When it happened, unless that is now. */
  readonly at?: Instant | undefined;
}

/** `unproven`: it tells of no message that is known to have been sent. */
export type ReportResult = 'recorded' | 'known' | 'unproven' | 'unavailable';

export interface ReportsContext {
  readonly store: Pick<EventStore, 'healthy' | 'readStream'>;
  readonly clock: AlarmClock;
  readonly recorder: Pick<Recorder, 'reported'>;
  readonly verdicts: Verdicts;
  readonly senders: () => SenderPolicy;
  readonly metrics: {
    readonly policy: ReportMeter;
    readonly smtp: Pick<SmtpMeter, 'accepted'>;
  };
}

/** Where a reported event goes. */
interface Placed {
  readonly id: string;
  readonly stream: string;
  readonly fact: SendEvent | AuthEvent;
  readonly correlation: string;
  /** The id that it has if it was recorded as of the day before, or after: only near midnight. */
  readonly otherId?: string | undefined;
}

/** A message as it is recorded, by one event or several. */
interface SentBefore {
  readonly id: string;
  readonly recipients: number;
}

/** What a sender's stream says of the time before. */
interface Lately {
  readonly ids: ReadonlySet<string>;
  /** By queue id. */
  readonly sent: ReadonlyMap<string, SentBefore>;
}

interface Batch {
  readonly by: string;
  readonly until: Milliseconds;
  /** What it has brought, by stream and id: the store may be given two of the same at once, and not know it. */
  readonly done: Map<string, Promise<ReportResult>>;
  /** By stream, and how far back. */
  readonly lately: Map<string, Promise<Lately>>;
  /** What it has recorded, by stream and queue id. */
  readonly sent: Map<string, SentBefore>;
}

/** What has been reported since the start. */
export interface Reported {
  readonly events: number;
  /** How often a follower of a log that says nothing let hear that it is there. */
  readonly signs: number;
  /** The last time that somebody reported, also nothing. */
  readonly lastAt: Instant | undefined;
}

/** Records what others saw, each event once. */
export class Reports {
  readonly #context: ReportsContext;
  readonly #looks = new Turns(LOOKS);
  #reported: Reported = { events: 0, signs: 0, lastAt: undefined };

  constructor(context: ReportsContext) {
    this.#context = context;
  }

  get reported(): Reported {
    return this.#reported;
  }

  /**
   * Resolves when all that could be recorded is durable.
   *
   * @param by who reports
   * @returns what became of each, in their order. After one that the store did not take the rest is not tried.
   */
  async record(reports: readonly Report[], by: string): Promise<readonly ReportResult[]> {
    const { store, clock, metrics } = this.#context;
    const { events, signs } = this.#reported;
    const isSign = reports.length === 0;
    this.#reported = {
      events: events + reports.length,
      signs: signs + (isSign ? 1 : 0),
      lastAt: clock.now(),
    };
    const until = clock.monotonic() + PATIENCE;
    const results: ReportResult[] = [];
    const batch: Batch = { by, until, done: new Map(), lately: new Map(), sent: new Map() };
    const write = async (report: Report): Promise<ReportResult> => {
      const isAway = !store.healthy || results.includes('unavailable') || clock.monotonic() >= until;
      return isAway ? 'unavailable' : this.#write(report, batch);
    };
    for (let from = 0; from < reports.length; from += AT_ONCE) {
      results.push(...(await Promise.all(reports.slice(from, from + AT_ONCE).map(write))));
    }
    reports.forEach(({ type }, index) => metrics.policy.reported(type, results[index]!));
    return results;
  }

  async #write(report: Report, batch: Batch): Promise<ReportResult> {
    const { by, until, done } = batch;
    let placed: Placed;
    if (report.type === 'returned') {
      const found = await this.#findReturned(report, by, until);
      if (typeof found === 'string') return found;
      placed = found;
    } else {
      placed = this.#place(report, by);
      if (report.type === 'accepted' && report.further === true) {
        const rest = await this.#restOf(placed, batch);
        if (typeof rest === 'string') return rest;
        placed = rest;
      }
    }
    const key = `${placed.stream} ${placed.id}`;
    const before = done.get(key);
    if (before !== undefined) return (await before) === 'recorded' ? 'known' : before;
    const result = this.#append(placed, batch);
    done.set(key, result);
    return result;
  }

  /** The recipients of a message that are not recorded yet: all, where nothing is found of it. */
  async #restOf(placed: Placed, batch: Batch): Promise<Placed | ReportResult> {
    const { stream, correlation, fact } = placed;
    if (fact.type !== 'MessageAccepted') return placed;
    // The message itself may be in the same batch.
    const done = await Promise.all(batch.done.values());
    if (done.includes('unavailable')) return 'unavailable';
    const key = `${stream} ${correlation}`;
    try {
      const before = batch.sent.get(key) ?? (await this.#lately(stream, TRIED, batch)).sent.get(correlation);
      // A second report of the batch may have been first.
      const { id, recipients } = batch.sent.get(key) ?? before ?? { id: placed.id, recipients: 0 };
      const rest = fact.data.recipients - recipients;
      if (rest <= 0) return 'known';
      batch.sent.set(key, { id, recipients: fact.data.recipients });
      const data = { ...fact.data, recipients: rest, size: 0, further: true };
      return { stream, correlation, id: idOf(`further/${id}/${recipients}`), fact: { ...fact, data } };
    } catch (error) {
      if (isUnavailable(error)) return 'unavailable';
      throw error;
    }
  }

  #lately(stream: string, span: Milliseconds, { by, until, lately }: Batch): Promise<Lately> {
    const key = `${stream} ${span}`;
    const known = lately.get(key) ?? this.#look(by, until, (look) => this.#readLately(stream, span, look));
    lately.set(key, known);
    return known;
  }

  async #findReturned(
    report: ReturnedReport,
    by: string,
    until: Milliseconds,
  ): Promise<Placed | ReportResult> {
    const { store, clock } = this.#context;
    try {
      const found = await this.#look(by, until, (look) => placeReturned(store, report, clock.now(), look));
      return found ?? 'unproven';
    } catch (error) {
      if (isUnavailable(error)) return 'unavailable';
      throw error;
    }
  }

  /**
   * @param work is to call its argument at each event that it reads: it throws when the time of the batch is over
   * @throws StopgapError `unavailable`
   */
  #look<T>(by: string, until: Milliseconds, work: (look: () => void) => Promise<T>): Promise<T> {
    const { clock } = this.#context;
    const look = (): void => {
      if (clock.monotonic() >= until) throw new StopgapError('unavailable', 'nobody waits for it any more');
    };
    return this.#looks.run(by, () => {
      look();
      return work(look);
    });
  }

  async #append({ id, stream, fact, correlation, otherId }: Placed, batch: Batch): Promise<ReportResult> {
    const { recorder, clock, metrics } = this.#context;
    const { by, until, sent } = batch;
    const patience = until - clock.monotonic();
    try {
      if (otherId !== undefined && (await this.#lately(stream, DAY + APART, batch)).ids.has(otherId))
        return 'known';
      const { duplicate } = await recorder.reported(stream, fact, { id, by, correlation, patience });
      if (duplicate) return 'known';
    } catch (error) {
      if (isUnavailable(error)) return 'unavailable';
      throw error;
    }
    if (fact.type !== 'MessageAccepted') return 'recorded';
    const { direction, recipients, further } = fact.data;
    metrics.smtp.accepted(direction, recipients, messagesOf(fact.data));
    if (further !== true) sent.set(`${stream} ${correlation}`, { id, recipients });
    return 'recorded';
  }

  async #readLately(stream: string, span: Milliseconds, look: () => void): Promise<Lately> {
    const { store, clock } = this.#context;
    const since = clock.now() - span;
    const ids = new Set<string>();
    const sent = new Map<string, SentBefore>();
    for await (const event of store.readStream(stream, { direction: 'backwards', limit: MOST_LOOKED_AT })) {
      look();
      const { id, at } = event;
      if (at < since) break;
      if (ids.has(id)) continue;
      ids.add(id);
      if (event.type !== 'MessageAccepted' || isImported(event)) continue;
      const { transaction, recipients } = event.data as MessageAccepted;
      const later = sent.get(transaction)?.recipients ?? 0;
      sent.set(transaction, { id, recipients: recipients + later });
    }
    return { ids, sent };
  }

  #place(report: Exclude<Report, { readonly type: 'returned' }>, by: string): Placed {
    const { verdicts, clock } = this.#context;
    const { id: own, at = clock.now(), queueId } = report;
    const correlation = queueId ?? own;
    const id = idOf(`report/${by}/${report.type}/${own}`);
    const isLate = at < clock.now() - CLOCK_TOLERANCE;
    const waited = isLate ? { outboxedAt: at } : {};
    switch (report.type) {
      case 'accepted': {
        const { recipients, size, recipientDomains } = report;
        const { key, fields, entitled } = this.#senderOf(report.names);
        const domains = new Set(recipientDomains.map(normalizeDomain));
        const data = {
          ...{ ...fields, transaction: queueId ?? own, recipients, size },
          ...{ recipientDomains: [...domains].slice(0, MOST_DOMAINS), entitled, ...waited },
        };
        return {
          id: queueId === undefined ? id : queuedMessageId(key, queueId, at),
          otherId: queueId === undefined ? undefined : otherDaysId(key, queueId, at),
          stream: sendStream(key),
          correlation,
          fact: { type: 'MessageAccepted', data, at },
        };
      }
      case 'recipients-refused': {
        const { key, fields, entitled } = this.#senderOf(report.names);
        const { count, code } = report;
        const data = { ...fields, transaction: queueId ?? own, count, code, entitled, ...waited };
        return { id, correlation, stream: sendStream(key), fact: { type: 'RecipientsRefused', data, at } };
      }
      case 'bounce': {
        const { address, ip } = report;
        const data = { address, ...(ip === '' ? {} : { ip }), ...waited };
        return {
          ...{ id, correlation },
          stream: sendStream(normalizeAddress(address)),
          fact: { type: 'BounceReceived', data, at },
        };
      }
      case 'login-failed': {
        const { account, ip, count } = report;
        const names = { account, returnPath: undefined, ehlo: '', ip };
        const { fields } = verdicts.senderOf(names);
        const network = clientNetwork(fields.ip ?? ip);
        const data = {
          ...{ network, ...verdicts.failureOf(names), ...verdicts.placeOf(fields) },
          ...{ count, since: at, ...waited },
        };
        const fact = { type: 'AuthenticationFailed' as const, data, at };
        return { id, correlation, stream: authStream(network), fact };
      }
    }
  }

  #senderOf(names: Names): {
    readonly key: string;
    readonly fields: SenderFields;
    readonly entitled: boolean;
  } {
    const { verdicts, senders } = this.#context;
    const { fields, identity } = verdicts.senderOf(names);
    const { account, returnPath = '' } = fields;
    return {
      key: sendStreamKey(identity),
      fields: { ...fields, ...verdicts.placeOf(fields) },
      entitled: account === undefined || isEntitled(senders(), account, returnPath),
    };
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof StopgapError && error.code === 'unavailable';
}

/** The id of the message, had it been recorded on the other side of midnight; undefined where none is near. */
function otherDaysId(key: string, queueId: string, at: Instant): string | undefined {
  const sinceMidnight = at % DAY;
  if (sinceMidnight < APART) return queuedMessageId(key, queueId, at - APART);
  return sinceMidnight >= DAY - APART ? queuedMessageId(key, queueId, at + APART) : undefined;
}

/** What the HTTP side needs to answer mail servers. */
export interface MailServers {
  readonly verdicts: Verdicts;
  readonly reports: Reports;
}

export function openMailServers(
  options: Omit<VerdictContext, 'settings' | 'contact' | 'clock' | 'metrics' | 'recorder'> &
    Pick<ReportsContext, 'senders' | 'store' | 'clock'> & {
      readonly config: {
        readonly policy: VerdictContext['settings'];
        readonly smtp: Pick<Config['smtp'], 'softFail'>;
      };
      readonly metrics: Metrics;
      readonly recorder: Recorder;
    },
): MailServers {
  const { config } = options;
  const { contact } = config.smtp.softFail;
  const verdicts = new Verdicts({ ...options, settings: config.policy, contact });
  return { verdicts, reports: new Reports({ ...options, verdicts }) };
}
