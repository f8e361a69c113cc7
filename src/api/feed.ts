import events from 'node:events';
import type { Request, Response } from 'express';
import { z } from 'zod';
import { SeenIds } from '../../projections/blocks/effective-blocks.js';
import type { BlockFact, HookRan } from '../blocks/events.js';
import { InvalidInput, StopgapError, messageOf } from '../kernel/errors.js';
import type { RecordedEvent } from '../kernel/events.js';
import { categoryOf, keyOf } from '../kernel/events.js';
import { MINUTE, SECOND, formatInstant } from '../kernel/time.js';
import type { OverrideFact } from '../overrides/events.js';
import type { ShadowFact } from '../rules/decide.js';
import type { RulesFact } from '../rules/model.js';
import type { AuthEvent, CalledEvent, HeldEvent, MovedEvent, SendEvent } from '../sending/events.js';
import { isHeldEvent, senderOf, senderOfHeld } from '../sending/events.js';
import type { Subject } from '../sending/subjects.js';
import { subjectOfKey } from '../sending/subjects.js';
import type { Subscription } from '../store/port.js';
import type { ApiDependencies, Caller } from './dependencies.js';
import { titleOf } from './dependencies.js';
import { Problem, invalid } from './http/problem.js';
import type { ApiRequest, Concerns, Route } from './http/route.js';
import { route } from './http/route.js';
import { hookFor } from './hook-view.js';
import { anyOf, instantShape, once, position } from './shapes.js';
import { FEED_CATEGORIES } from './words.js';

type FeedCategory = (typeof FEED_CATEGORIES)[number];

type FeedType = (
  | BlockFact
  | RulesFact
  | ShadowFact
  | OverrideFact
  | SendEvent
  | HeldEvent
  | MovedEvent
  | CalledEvent
  | AuthEvent
)['type'];

/** Every type of event that the feed shows, and the category whose streams hold it. */
const CATEGORY_OF: Readonly<Record<FeedType, FeedCategory>> = {
  BlockProposed: 'block',
  ProposalApproved: 'block',
  ProposalDismissed: 'block',
  ProposalLapsed: 'block',
  BlockImposed: 'block',
  BlockExtended: 'block',
  BlockShortened: 'block',
  BlockReleased: 'block',
  BlockExpired: 'block',
  HeldMailDecided: 'block',
  HookRan: 'block',
  ExemptionGranted: 'block',
  ExemptionRevoked: 'block',
  ExemptionApplied: 'block',
  RuleObserved: 'block',
  RulesChanged: 'rules',
  ShadowRulesChanged: 'rules',
  ShadowRulesRemoved: 'rules',
  ShadowRulesPromoted: 'rules',
  OverrideSet: 'override',
  OverrideRemoved: 'override',
  MessageAccepted: 'send',
  RecipientsRefused: 'send',
  MessageRefused: 'send',
  BounceReceived: 'send',
  MessageHeld: 'held',
  HeldMailMoved: 'held',
  HookCalled: 'held',
  AuthenticationFailed: 'auth',
};

const FEED_TYPES = Object.keys(CATEGORY_OF) as readonly FeedType[];

const eventShape = z
  .object({
    position,
    eventId: z.string(),
    stream: z.string(),
    type: z.string(),
    at: instantShape,
    by: z.string(),
    correlation: z.string().nullable(),
    data: z.record(z.string(), z.unknown()),
  })
  .meta({ id: 'FeedEvent', description: 'What `data` of each message in the stream is, as JSON.' });

const HOOK_RAN: BlockFact['type'] = 'HookRan';

/** Proxies close connections that are silent for a minute. */
const HEARTBEAT = 15 * SECOND;
/** A reverse proxy says who somebody is only with a request: so the client has to ask again after this. */
const PROXIED = 5 * MINUTE;
/** Feeds open at once; each may hold a slice of the store in memory. */
const MOST_FEEDS = 100;
/** How many of these one token may have, so that the others have room. */
const MOST_OF_ONE = 10;
/** Ids that a feed remembers, so that an event that the store holds twice comes once. */
const IDS_KEPT = 10_000;
/** How long a client should wait before it connects again, in milliseconds. */
const RETRY = 2000;

const feedQuery = z.strictObject({
  categories: anyOf(FEED_CATEGORIES),
  types: anyOf(FEED_TYPES),
  after: once
    .regex(/^\d{1,15}$/, 'must be a position: a whole number')
    .transform(Number)
    .optional()
    .meta({
      description: 'Position to start behind; 0 is the beginning; only what comes next unless given.',
    }),
});
type FeedQuery = z.infer<typeof feedQuery>;

/** The events of the store as server-sent events (HTML Living Standard, 9.2). */
export class EventFeeds {
  readonly #deps: ApiDependencies;
  /** Whose it is, by the function that ends the feed. */
  readonly #open = new Map<() => Promise<void>, Caller>();
  #closed = false;

  constructor(deps: ApiDependencies) {
    this.#deps = deps;
  }

  get routes(): readonly Route[] {
    return [
      route<FeedQuery>({
        method: 'get',
        path: '/api/v1/events',
        summary: 'Events as they are written, resumable by Last-Event-ID',
        role: 'viewer',
        scope: 'own',
        needsModels: false,
        query: feedQuery,
        responses: {
          200: {
            description: 'A stream: id is the position, event the type, data a FeedEvent as JSON',
            type: 'text/event-stream',
            schema: eventShape,
          },
        },
        handle: async (request) => {
          await this.#begin(request);
          return undefined;
        },
      }),
    ];
  }

  /** Ends the feeds of a session that has ended. */
  async endOf(session: string): Promise<void> {
    const own = [...this.#open].filter(([, caller]) => caller.session === session);
    await Promise.all(own.map(([end]) => end()));
  }

  /** Ends every feed; its client connects again elsewhere. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#open.keys()].map((end) => end()));
  }

  async #begin(asked: ApiRequest<FeedQuery, unknown>): Promise<void> {
    const { store, log } = this.#deps;
    const { query, caller, concerns, request, response } = asked;
    const title = titleOf(caller);
    const { types } = query;
    const categories = categoriesOf(query);
    const after = lastEventId(request) ?? query.after;
    const head = await store.head();
    if (after !== undefined && after > head) {
      throw invalid([
        { field: 'after', message: `lies beyond the last event, which is at ${head}: start from 0` },
      ]);
    }
    if (this.#closed) throw new StopgapError('unavailable', 'the server is shutting down');
    if (this.#open.size >= MOST_FEEDS) throw tooMany(`${MOST_FEEDS} feeds are open already`);
    let own = 0;
    for (const other of this.#open.values()) if (titleOf(other) === title) own++;
    if (own >= MOST_OF_ONE) throw tooMany(`${MOST_OF_ONE} feeds of ${title} are open already`);
    if (response.destroyed) return;
    response
      .status(200)
      .set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' });
    response.flushHeaders();
    if (request.method === 'HEAD') {
      response.end();
      return;
    }
    response.write(`retry: ${RETRY}\n\n`);
    const wanted: ReadonlySet<string> | undefined = types;
    const seen = new SeenIds(IDS_KEPT);
    const ended = new AbortController();
    const subscription = store.subscribe({ after: after ?? 'end', categories }, (event) => {
      if ((wanted !== undefined && !wanted.has(event.type)) || !seen.isNew(event.id)) return;
      const shown = this.#shownTo(caller, concerns, event);
      return shown === undefined ? undefined : write(response, textOf(shown), ended.signal);
    });
    this.#keep(asked, subscription, ended);
    subscription.ended.then(
      () => response.end(),
      (error: unknown) => {
        log.warn({ error: messageOf(error) }, 'an event feed has ended: its client will connect again');
        response.end();
      },
    );
  }

  /**
   * An event as the caller may see it; undefined if not at all. The administrator of a domain sees those of its senders, and what was
   * decided on them.
   */
  #shownTo({ role }: Caller, concerns: Concerns, event: RecordedEvent): RecordedEvent | undefined {
    if (role !== 'domain') return event;
    if (isHeldEvent(event) && !concerns(senderOfHeld(event.data))) return undefined;
    const subject = this.#subjectOf(categoryOf(event.stream), keyOf(event.stream));
    if (subject === undefined || !concerns(subject)) return undefined;
    if (event.type !== HOOK_RAN) return event;
    return { ...event, data: hookFor(event.data as HookRan, subject, concerns) };
  }

  /** What the events of a stream are about. Undefined: of nobody's domain. */
  #subjectOf(category: string, key: string): Subject | undefined {
    switch (category as FeedCategory) {
      case 'block':
      case 'override':
        return subjectOfKey(key);
      case 'send':
        return senderOf(key);
      // The streams beside name no sender, and their keys no block: these are for nobody's domain.
      case 'held': {
        const { rows } = this.#deps.models.ledger;
        const row = rows.find(key);
        return row === undefined ? undefined : rows.at(row).subject;
      }
      case 'rules':
      case 'auth':
        return undefined;
    }
  }

  /** Keeps it alive while it is silent, and cleans up when either side ends it. */
  #keep(
    { response, caller, isStillAllowed }: ApiRequest<FeedQuery, unknown>,
    subscription: Subscription,
    ended: AbortController,
  ): void {
    const { clock, metrics } = this.#deps;
    const until = caller.viaProxy === true ? clock.monotonic() + PROXIED : Infinity;
    let cancel: () => void;
    const beat = (): void => {
      // A token that is revoked sees no more.
      if (!isStillAllowed() || clock.monotonic() >= until) return void end();
      // No heartbeats pile up for a client that does not read.
      if (!response.writableNeedDrain) response.write(': alive\n\n');
      cancel = clock.after(HEARTBEAT, beat);
    };
    cancel = clock.after(HEARTBEAT, beat);
    const end = async (): Promise<void> => {
      this.#open.delete(end);
      metrics.api.feeds.set(this.#open.size);
      cancel();
      response.end();
      // A handler may wait for the client to read: the subscription stops only after it.
      ended.abort();
      await subscription.stop();
    };
    this.#open.set(end, caller);
    metrics.api.feeds.set(this.#open.size);
    response.once('close', () => void end());
    response.on('error', () => undefined); // the client is gone: `close` follows
  }
}

function tooMany(message: string): Problem {
  return new Problem(503, message, { code: 'unavailable', headers: { 'Retry-After': '30' } });
}

/** Which streams are read. @throws InvalidInput for a type that could never come */
function categoriesOf({ categories, types }: FeedQuery): readonly FeedCategory[] {
  if (types === undefined) return [...(categories ?? (['block', 'rules'] as const))];
  const needed = new Set([...types].map((type) => CATEGORY_OF[type]));
  for (const type of types)
    if (categories !== undefined && !categories.has(CATEGORY_OF[type]))
      throw new InvalidInput(
        'types',
        `${type} is of category ${CATEGORY_OF[type]}, which categories leaves out`,
      );
  return [...needed];
}

function lastEventId(request: Request): number | undefined {
  const header = request.get('last-event-id');
  if (header === undefined || header === '') return undefined;
  if (/^\d{1,15}$/.test(header)) return Number(header);
  throw invalid([{ field: 'Last-Event-ID', message: 'must be a position: a whole number' }]);
}

function textOf({
  id: eventId,
  position,
  stream,
  type,
  by,
  correlation,
  data,
  ...rest
}: RecordedEvent): string {
  const at = formatInstant(rest.at);
  const body: z.input<typeof eventShape> = {
    position,
    eventId,
    stream,
    type,
    at,
    by,
    correlation: correlation ?? null,
    data: data as Readonly<Record<string, unknown>>,
  };
  return `id: ${position}\nevent: ${type.replace(/[\r\n]/g, ' ')}\ndata: ${JSON.stringify(body)}\n\n`;
}

/** Writes. Makes the store wait if the client does not keep up, until the feed has ended. */
function write(response: Response, text: string, ended: AbortSignal): void | Promise<void> {
  if (response.writableEnded || response.destroyed || response.write(text)) return;
  const done = (): void => undefined;
  return events.once(response, 'drain', { signal: ended }).then(done, done);
}
