import type { DovecotAsked, HealthReport, Progress } from '../api/index.js';
import type { Milliseconds } from '../kernel/time.js';
import { formatInstant, SECOND } from '../kernel/time.js';
import type { LogFollower } from './log-follower.js';
import type { PolicyRole } from '../policy/role.js';
import type { MailServers, Reported } from '../recording/reports.js';
import type { SmtpRole } from '../smtp/role.js';
import type { OutboxedStore } from '../store/outboxed.js';
import type { EventStore } from '../store/port.js';

/** Longer than a subscription needs to resume, shorter than a block may take to be in force everywhere. */
const LAG_ALLOWED: Milliseconds = 10 * SECOND;

interface Parts {
  readonly store: EventStore;
  readonly outbox: OutboxedStore | undefined;
  readonly follower: LogFollower;
  readonly smtp: SmtpRole | undefined;
  readonly policy: PolicyRole | undefined;
  readonly dovecot: { readonly asked: DovecotAsked } | undefined;
  readonly mailServers: MailServers | undefined;
}

/** The health of the process, from its first moment on. */
export class ProcessHealth {
  listeners: HealthReport['listeners'] = 'starting';
  http: { readonly isCrowded: boolean } | undefined;
  readonly #data: string | undefined;
  #parts: Parts | undefined;

  /** @param data identifies its data directory */
  constructor(data?: string) {
    this.#data = data;
  }

  /** The parts to check exist now. */
  opened(parts: Parts): void {
    this.#parts = parts;
  }

  report(): HealthReport {
    const isCrowded =
      this.listeners === 'up' && (this.http?.isCrowded === true || this.#parts?.policy?.isCrowded === true);
    const listeners = isCrowded ? 'crowded' : this.listeners;
    const dataDirectory = this.#data ?? null;
    if (this.#parts === undefined) {
      const unknown = { store: 'failing', relay: 'unknown', readModels: 'catching-up' } as const;
      const nothing = {
        position: 0,
        lagSeconds: 0,
        clockSkewSeconds: null,
        relaySessions: 0,
        logReplaced: 0,
      };
      return { status: 'starting', ...unknown, listeners, ...nothing, dataDirectory };
    }
    const { store, outbox, follower, smtp, policy, dovecot, mailServers } = this.#parts;
    const { models, state } = follower;
    const takesEvents = takesEventsOf(this.#parts);
    const isBehind = models.lag > LAG_ALLOWED;
    const relay = smtp?.upstream.state ?? 'unknown';
    const redis = redisOf(follower);
    const handsOver = relay !== 'failing' && relay !== 'unanswered';
    const isWell = takesEvents && handsOver && redis !== 'failing' && !isBehind && !isCrowded;
    const isStarting = state === 'starting' || listeners === 'starting';
    return {
      status: isStarting ? 'starting' : state === 'rebuilding' ? 'rebuilding' : isWell ? 'ok' : 'degraded',
      store: takesEvents ? 'ok' : 'failing',
      relay,
      ...(redis === undefined ? {} : { redis }),
      readModels: state !== 'following' ? 'catching-up' : isBehind ? 'behind' : 'ready',
      listeners,
      position: models.position,
      lagSeconds: Math.round(models.lag / SECOND),
      clockSkewSeconds: store.clockSkew === undefined ? null : Math.round(store.clockSkew / SECOND),
      relaySessions: smtp?.relay.sessions.open ?? 0,
      dataDirectory,
      logReplaced: follower.replacements,
      ...(policy === undefined ? {} : { policy: { ...policy.asked } }),
      ...(dovecot === undefined ? {} : { dovecot: { ...dovecot.asked } }),
      ...(mailServers === undefined ? {} : mailServersOf(mailServers)),
      ...(outbox === undefined ? {} : { outbox: outbox.waiting, quarantine: outbox.quarantined }),
    };
  }

  /** The senders that a rule has tripped on, and that no detector has acted on; none while it cannot know. */
  get unanswered(): number {
    if (this.#parts === undefined) return 0;
    const { follower } = this.#parts;
    return takesEventsOf(this.#parts) && follower.state === 'following' ? follower.passing.undetected : 0;
  }

  /** The progress, until it is ready. */
  progress(): Progress | undefined {
    if (this.#parts === undefined)
      return { reason: 'files and stores are opened', events: 0, position: 0, head: null, percent: null };
    const { state, progress } = this.#parts.follower;
    if (state !== 'following') return progress;
    if (this.listeners === 'up') return undefined;
    return { ...progress, reason: this.listeners === 'starting' ? 'ports are opened' : 'it is stopping' };
  }
}

function takesEventsOf({ store, outbox }: Pick<Parts, 'store' | 'outbox'>): boolean {
  return store.healthy && outbox?.away !== true;
}

function mailServersOf({ verdicts, reports }: MailServers): Readonly<Record<string, unknown>> {
  return { http: { ...verdicts.questions }, reports: reportsOf(reports.reported) };
}

/** Of followers without the names of their tokens, which may be anything. */
function reportsOf({ events, signs, lastAt, followers }: Reported): Readonly<Record<string, unknown>> {
  return {
    events,
    signs,
    lastAt: lastAt === undefined ? null : formatInstant(lastAt),
    followers: followers.map((one) => ({ signs: one.signs, lastAt: formatInstant(one.lastAt) })),
  };
}

/** For a process that keeps its timed work in Redis. */
function redisOf({ work }: LogFollower): 'ok' | 'failing' | undefined {
  if (work === undefined || !('status' in work)) return undefined;
  return work.status.fit ? 'ok' : 'failing';
}
