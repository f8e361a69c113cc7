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
import type { AuthEvent, SendEvent, SenderFields } from '../sending/events.js';
import { authStream, CLOCK_TOLERANCE, sendStream } from '../sending/events.js';
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
 * most so much apart, and so many of the sender's events are looked through.
 */
const APART: Milliseconds = 10 * MINUTE;
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
    const done = new Map<string, Promise<ReportResult>>();
    const lately = new Map<string, Promise<ReadonlySet<string>>>();
    const write = async (report: Report): Promise<ReportResult> => {
      const isAway = !store.healthy || results.includes('unavailable') || clock.monotonic() >= until;
      return isAway ? 'unavailable' : this.#write(report, by, until, done, lately);
    };
    for (let from = 0; from < reports.length; from += AT_ONCE) {
      results.push(...(await Promise.all(reports.slice(from, from + AT_ONCE).map(write))));
    }
    reports.forEach(({ type }, index) => metrics.policy.reported(type, results[index]!));
    return results;
  }

  /**
   * @param done what the same batch has brought: the store may be given two of the same at once, and not know it
   * @param lately by stream, the ids of what was recorded lately
   */
  async #write(
    report: Report,
    by: string,
    until: Milliseconds,
    done: Map<string, Promise<ReportResult>>,
    lately: Map<string, Promise<ReadonlySet<string>>>,
  ): Promise<ReportResult> {
    let placed: Placed;
    if (report.type === 'returned') {
      const found = await this.#findReturned(report, by, until);
      if (typeof found === 'string') return found;
      placed = found;
    } else placed = this.#place(report, by);
    const key = `${placed.stream} ${placed.id}`;
    const before = done.get(key);
    if (before !== undefined) return (await before) === 'recorded' ? 'known' : before;
    const result = this.#append(placed, by, until, lately);
    done.set(key, result);
    return result;
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

  async #append(
    { id, stream, fact, correlation, otherId }: Placed,
    by: string,
    until: Milliseconds,
    lately: Map<string, Promise<ReadonlySet<string>>>,
  ): Promise<ReportResult> {
    const { recorder, clock, metrics } = this.#context;
    const patience = until - clock.monotonic();
    try {
      if (otherId !== undefined) {
        const known = lately.get(stream) ?? this.#look(by, until, (look) => this.#idsOf(stream, look));
        lately.set(stream, known);
        if ((await known).has(otherId)) return 'known';
      }
      const { duplicate } = await recorder.reported(stream, fact, { id, by, correlation, patience });
      if (duplicate) return 'known';
    } catch (error) {
      if (isUnavailable(error)) return 'unavailable';
      throw error;
    }
    if (fact.type === 'MessageAccepted') metrics.smtp.accepted(fact.data.direction, fact.data.recipients);
    return 'recorded';
  }

  /** Of the last events of a stream. */
  async #idsOf(stream: string, look: () => void): Promise<ReadonlySet<string>> {
    const { store, clock } = this.#context;
    const since = clock.now() - DAY - APART;
    const ids = new Set<string>();
    for await (const { id, at } of store.readStream(stream, {
      direction: 'backwards',
      limit: MOST_LOOKED_AT,
    })) {
      look();
      if (at < since) break;
      ids.add(id);
    }
    return ids;
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
