import type { SenderPolicy } from '../accounts/senders.js';
import { isEntitled } from '../accounts/senders.js';
import type { FailedLogins } from '../accounts/users.js';
import { FailedLoginsByAccount } from '../accounts/users.js';
import type { Config } from '../config/schema.js';
import type { ReadModels } from '../detector/read-models.js';
import { StopgapError } from '../kernel/errors.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { DAY, MINUTE, SECOND } from '../kernel/time.js';
import { Turns } from '../kernel/turns.js';
import type { Metrics } from '../metrics/metrics.js';
import type { ReportMeter } from '../metrics/policy.js';
import type { SmtpMeter } from '../metrics/smtp.js';
import { idOf, queuedMessageId } from '../runtime/ids.js';
import { recentlyUsed } from '../runtime/recently-used.js';
import type { AuthEvent, MessageAccepted, SendEvent, SenderFields } from '../sending/events.js';
import { authStream, CLOCK_TOLERANCE, isImported, messagesOf, sendStream } from '../sending/events.js';
import { clientNetwork, normalizeAddress, normalizeDomain } from '../sending/identity.js';
import { sendStreamKey } from '../sending/subjects.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';
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
/** So many messages are remembered of which the rest may be reported while the store cannot be read. */
const MOST_SENT = 10_000;
/** Of so many followers it is remembered when they were heard. */
const MOST_FOLLOWERS = 100;
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
  readonly models: Pick<ReadModels, 'ledger' | 'pastBlocks'>;
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
  /** What is recorded of the message that it is the rest of. */
  readonly before?: SentBefore;
  /** The login that failed with a wrong password: no event has its name. */
  readonly wrong?: { readonly account: string; readonly network: string } | undefined;
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
  /** The store did not take one: the rest is not tried. */
  isAway: boolean;
  /** It could not be read: nobody waits for that once more. */
  isUnread: boolean;
}

/** What has been reported since the start. */
export interface Reported {
  readonly events: number;
  /** How often a follower of a log let hear that it is there. */
  readonly signs: number;
  /** The last time that somebody reported, also nothing. */
  readonly lastAt: Instant | undefined;
  /** Those who let hear that they are there, each under its token, as they came. */
  readonly followers: readonly Heard[];
}

/** A follower. */
export interface Heard {
  readonly signs: number;
  /** The last time that it reported, also nothing. */
  readonly lastAt: Instant;
}

/** Records what others saw, each event once. */
export class Reports {
  readonly #context: ReportsContext;
  readonly #looks = new Turns(LOOKS);
  /** Accounts, in normal form, that have sent: a name that a stranger types is not kept. */
  readonly #seen = recentlyUsed<string, true>(MOST_SENT);
  readonly #failedOf = new FailedLoginsByAccount((account) => this.#seen.has(account) || undefined);
  /** What has been recorded of messages here, by stream and queue id. */
  readonly #sent = recentlyUsed<string, SentBefore>(MOST_SENT);
  /** The last of those that look for the rest of a message, by stream and queue id: the next one is to find what it records. */
  readonly #resting = new Map<string, Promise<unknown>>();
  #events = 0;
  #signs = 0;
  #lastAt: Instant | undefined;
  /** By who reports. */
  readonly #followers = new Map<string, Heard>();

  constructor(context: ReportsContext) {
    this.#context = context;
  }

  get reported(): Reported {
    const followers = [...this.#followers.values()];
    return { events: this.#events, signs: this.#signs, lastAt: this.#lastAt, followers };
  }

  /** Logins of an account, in normal form, that were reported lately as failed with a wrong password; undefined if none were. */
  failedLogins(account: string): FailedLogins | undefined {
    return this.#failedOf.of(account, this.#context.clock.now());
  }

  /** When the last one was that is forgotten, since too many others failed. */
  get failuresForgottenAt(): Instant {
    return this.#failedOf.forgottenAt;
  }

  /**
   * Resolves when all that could be recorded is durable.
   *
   * @param by who reports
   * @returns what became of each, in their order. After one that the store did not take the rest is not tried; one for which the
   *   store would have to be read, and cannot be, keeps no other back.
   */
  async record(reports: readonly Report[], by: string): Promise<readonly ReportResult[]> {
    const { store, clock, metrics } = this.#context;
    this.#hear(reports, by);
    const until = clock.monotonic() + PATIENCE;
    const results: ReportResult[] = [];
    const batch: Batch = { by, until, done: new Map(), lately: new Map(), isAway: false, isUnread: false };
    const write = async (report: Report): Promise<ReportResult> => {
      const isOver = !store.healthy || batch.isAway || clock.monotonic() >= until;
      return isOver ? 'unavailable' : this.#write(report, batch);
    };
    for (let from = 0; from < reports.length; from += AT_ONCE) {
      results.push(...(await Promise.all(reports.slice(from, from + AT_ONCE).map(write))));
    }
    reports.forEach(({ type }, index) => metrics.policy.reported(type, results[index]!));
    return results;
  }

  #hear(reports: readonly Report[], by: string): void {
    const lastAt = this.#context.clock.now();
    const sign = reports.length === 0 ? 1 : 0;
    this.#events += reports.length;
    this.#signs += sign;
    this.#lastAt = lastAt;
    const before = this.#followers.get(by);
    if (before === undefined && (sign === 0 || this.#followers.size >= MOST_FOLLOWERS)) return;
    this.#followers.set(by, { signs: (before?.signs ?? 0) + sign, lastAt });
  }

  async #write(report: Report, batch: Batch): Promise<ReportResult> {
    if (report.type === 'returned') {
      const found = await this.#findReturned(report, batch);
      return typeof found === 'string' ? found : this.#once(found, batch);
    }
    const placed = this.#place(report, batch.by);
    const isRest = report.type === 'accepted' && report.further === true;
    return isRest ? this.#afterOthers(placed, batch) : this.#once(placed, batch);
  }

  async #once(placed: Placed, batch: Batch): Promise<ReportResult> {
    const { done } = batch;
    const key = `${placed.stream} ${placed.id}`;
    const before = done.get(key);
    if (before !== undefined) return (await before) === 'recorded' ? 'known' : before;
    const result = this.#append(placed, batch);
    done.set(key, result);
    return result;
  }

  /** Records the rest of a message when what others find of the same message, in any request, has been recorded. */
  async #afterOthers(placed: Placed, batch: Batch): Promise<ReportResult> {
    // The message itself may be in the same batch.
    if ((await Promise.all(batch.done.values())).includes('unavailable')) return 'unavailable';
    const key = keyOf(placed);
    const before = this.#resting.get(key);
    const result = (async (): Promise<ReportResult> => {
      await before?.catch(() => undefined);
      const rest = await this.#restOf(placed, batch);
      return typeof rest === 'string' ? rest : this.#append(rest, batch);
    })();
    this.#resting.set(key, result);
    try {
      return await result;
    } finally {
      if (this.#resting.get(key) === result) this.#resting.delete(key);
    }
  }

  /** The recipients of a message that are not recorded yet: all, where nothing is found of it. */
  async #restOf(placed: Placed, batch: Batch): Promise<Placed | ReportResult> {
    const { stream, correlation, fact } = placed;
    if (fact.type !== 'MessageAccepted') return placed;
    let found: SentBefore | undefined;
    try {
      found = (await this.#lately(stream, TRIED, batch)).sent.get(correlation);
    } catch (error) {
      // What has been recorded here is known all the same, and a flood is contained here while the store is away.
      const isKnown = error instanceof StoreUnavailable && this.#sent.has(keyOf(placed));
      if (!isKnown) return unavailable(error);
    }
    // Others may have recorded more of it since the store was read.
    const here = this.#sent.get(keyOf(placed));
    const { id, recipients } = [found, here]
      .filter((one) => one !== undefined)
      .sort((a, b) => a.recipients - b.recipients)
      .at(-1) ?? { id: placed.id, recipients: 0 };
    const rest = fact.data.recipients - recipients;
    if (rest <= 0) return 'known';
    const data = { ...fact.data, recipients: rest, size: 0, further: true };
    const before = { id, recipients };
    return { stream, correlation, id: idOf(`further/${id}/${recipients}`), fact: { ...fact, data }, before };
  }

  #lately(stream: string, span: Milliseconds, batch: Batch): Promise<Lately> {
    const { lately } = batch;
    const key = `${stream} ${span}`;
    const known = lately.get(key) ?? this.#look(batch, (look) => this.#readLately(stream, span, look));
    lately.set(key, known);
    return known;
  }

  async #findReturned(report: ReturnedReport, batch: Batch): Promise<Placed | ReportResult> {
    const { store, clock } = this.#context;
    try {
      const found = await this.#look(batch, (look) => placeReturned(store, report, clock.now(), look));
      return found ?? 'unproven';
    } catch (error) {
      return unavailable(error);
    }
  }

  /**
   * @param work is to call its argument at each event that it reads: it throws when the time of the batch is over
   * @throws StopgapError `unavailable`
   */
  #look<T>(batch: Batch, work: (look: () => void) => Promise<T>): Promise<T> {
    const { clock } = this.#context;
    const look = (): void => {
      if (clock.monotonic() >= batch.until)
        throw new StopgapError('unavailable', 'nobody waits for it any more');
    };
    return this.#looks.run(batch.by, async () => {
      look();
      if (batch.isUnread) throw new StoreUnavailable('the store could not be read just now');
      try {
        return await work(look);
      } catch (error) {
        if (error instanceof StoreUnavailable) batch.isUnread = true;
        throw error;
      }
    });
  }

  async #append(placed: Placed, batch: Batch): Promise<ReportResult> {
    const { id, stream, fact, correlation, before, wrong } = placed;
    const { recorder, clock, metrics } = this.#context;
    const { by, until } = batch;
    try {
      if (await this.#isOfOtherDay(placed, batch)) return 'known';
    } catch (error) {
      return unavailable(error);
    }
    try {
      const patience = until - clock.monotonic();
      const { duplicate } = await recorder.reported(stream, fact, { id, by, correlation, patience });
      if (duplicate) return 'known';
    } catch (error) {
      batch.isAway = true;
      return unavailable(error);
    }
    if (fact.type === 'AuthenticationFailed' && wrong !== undefined)
      this.#failedOf.note(wrong.account, 'failed', wrong.network, fact.at ?? clock.now(), fact.data.count);
    if (fact.type !== 'MessageAccepted') return 'recorded';
    const { account, direction, recipients } = fact.data;
    if (account !== undefined) this.#seen.set(account, true);
    metrics.smtp.accepted(direction, recipients, messagesOf(fact.data));
    const sent = before ?? { id, recipients: 0 };
    this.#sent.set(keyOf(placed), { id: sent.id, recipients: sent.recipients + recipients });
    return 'recorded';
  }

  /** Whether it is recorded as of the other side of midnight. */
  async #isOfOtherDay({ stream, otherId }: Placed, batch: Batch): Promise<boolean> {
    if (otherId === undefined) return false;
    try {
      return (await this.#lately(stream, DAY + APART, batch)).ids.has(otherId);
    } catch (error) {
      // It can wait for the store on this disk. Once too often is better than not contained.
      if (error instanceof StoreUnavailable) return false;
      throw error;
    }
  }

  async #readLately(stream: string, span: Milliseconds, look: () => void): Promise<Lately> {
    const { store, clock } = this.#context;
    const since = clock.now() - span;
    const ids = new Set<string>();
    const sent = new Map<string, SentBefore>();
    for await (const event of store.readStream(stream, { direction: 'backwards', limit: MOST_LOOKED_AT })) {
      look();
      const { id, recordedAt } = event;
      // Not `at`: an import, or a late report, brings old events after newer ones.
      if (recordedAt < since) break;
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
    const { verdicts, clock, models } = this.#context;
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
          ...fields,
          transaction: queueId ?? own,
          recipients,
          size,
          recipientDomains: [...domains].slice(0, MOST_DOMAINS),
          entitled,
          ...(queueId !== undefined && models.pastBlocks.wasJudged(queueId, models.ledger)
            ? { wasJudged: true }
            : {}),
          ...waited,
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
          id,
          correlation,
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
          network,
          ...verdicts.failureOf(names),
          ...verdicts.placeOf(fields),
          count,
          since: at,
          ...waited,
        };
        const fact = { type: 'AuthenticationFailed' as const, data, at };
        const wrong = account === '' || data.kind === 'feigned' ? undefined : { account, network };
        return { id, correlation, stream: authStream(network), fact, wrong };
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

/** @throws the error, if it is another one */
function unavailable(error: unknown): 'unavailable' {
  if (error instanceof StopgapError && error.code === 'unavailable') return 'unavailable';
  throw error;
}

const keyOf = ({ stream, correlation }: Placed): string => `${stream} ${correlation}`;

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
    Pick<ReportsContext, 'senders' | 'store' | 'clock' | 'models'> & {
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
