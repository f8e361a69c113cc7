import type { AddressInfo } from 'node:net';
import express from 'express';
import type { Express } from 'express';
import type { ListenAddress } from '../config/listening.js';
import { Trouble } from '../log/trouble.js';
import type { MailServers } from '../recording/reports.js';
import { newId } from '../runtime/ids.js';
import { StoreUnavailable } from '../store/port.js';
import { backtestRoutes } from './backtests.js';
import { blockListRoute } from './block-list.js';
import { blockRefusalsRoute } from './block-refusals.js';
import { blockActionRoutes, bulkActionsRoute } from './block-actions.js';
import { changesRoute } from './changes.js';
import { senderVolumeRoute } from './sender-volume.js';
import { blockReportRoute } from './block-report-route.js';
import { blockRoutes } from './blocks.js';
import { checkRoutes } from './check.js';
import type { ApiDependencies, OperationDependencies } from './dependencies.js';
import { rootRoutes } from './openapi.js';
import { exemptionRoutes } from './exemptions.js';
import { feignedRoute } from './feigned.js';
import { forgetRoute } from './forget.js';
import { EventFeeds } from './feed.js';
import { heldRoutes } from './held.js';
import { listen } from './http/listen.js';
import type { Listener } from './http/listen.js';
import type { Route } from './http/route.js';
import { matches } from './http/route.js';
import { serve } from './http/serve.js';
import type { Admission, Elsewhere, ServeDependencies } from './http/serve.js';
import { LongReads } from './long-reads.js';
import { mailServerRoutes } from './mail-servers.js';
import { noticeRoutes } from './notices.js';
import { logRoutes, operationRoutes, outboxRoutes } from './operations.js';
import { bulkOverridesRoute } from './overrides-bulk.js';
import { overrideRoutes } from './overrides.js';
import { overviewRoute } from './overview.js';
import { pageRoutes } from './page.js';
import { Attempts } from './attempts.js';
import type { PeopleDependencies } from './sessions.js';
import { PersonSessions } from './sessions.js';
import { SignIn } from './sign-in.js';
import { OpenId, openIdStamp } from './openid.js';
import { OwnAccount } from './own-account.js';
import { Passkeys } from './passkeys.js';
import { People } from './people.js';
import { rspamdRoutes } from './rspamd.js';
import { observedRoute, rulesRoutes } from './rules.js';
import { senderRoutes } from './senders.js';
import { shadowRoutes } from './shadow-rules.js';
import { storageRoute } from './storage.js';

export { FirstLink, newLinkToken } from './first-link.js';
export { DovecotPolicy } from './dovecot.js';
export { pageRoutes } from './page.js';
export type { DovecotAsked } from './dovecot.js';
export type {
  ApiDependencies,
  Authenticator,
  Caller,
  HealthReport,
  OperationDependencies,
  Progress,
} from './dependencies.js';

export interface Api {
  readonly app: Express;
  /** Every route there is: what the OpenAPI document is made from. */
  readonly routes: readonly Route[];
  /** Ends the event feeds, and a back-test that runs. */
  close(): Promise<void>;
}

/** The HTTP port of a process. It is open from the first moment to the last; what answers there changes. */
export class HttpPort {
  #api: Api;
  #listener!: Listener;
  #closed: Promise<void> | undefined;

  readonly #room: Trouble;

  private constructor(api: Api, room: Trouble) {
    this.#api = api;
    this.#room = room;
  }

  /** Binds; rejects if the address is not available. */
  static async open(
    api: Api,
    address: ListenAddress,
    { log, clock }: Pick<OperationDependencies, 'log' | 'clock'>,
  ): Promise<HttpPort> {
    const room = new Trouble(clock, {
      began: (error) =>
        log.warn(
          { error },
          'no room for HTTP connections: those that have asked nothing for longest are cut; see who connects',
        ),
      over: (count, spanMs) => log.warn({ count, spanMs }, 'there is room for HTTP connections again'),
    });
    const port = new HttpPort(api, room);
    port.#listener = await listen(
      (request, response) => void port.#api.app(request, response),
      address,
      ({ message: error }) => log.error({ error }, 'an HTTP connection was not taken'),
      room,
    );
    return port;
  }

  get number(): number {
    return (this.#listener.server.address() as AddressInfo).port;
  }

  /** Whether connections are cut to make room for others. */
  get isCrowded(): boolean {
    return this.#room.on;
  }

  /** Lets another API answer from now on, and ends the feeds of the one before. */
  async turnTo(api: Api): Promise<void> {
    const before = this.#api;
    this.#api = api;
    await before.close();
  }

  /** Ends what {@link Api.close} ends, finishes the requests under way (3 s at most), closes. */
  close(): Promise<void> {
    this.#closed ??= this.#api.close().then(() => this.#listener.close());
    return this.#closed;
  }
}

/**
 * What a process serves while it is not ready: health, readiness and metrics. Other requests are told the reason.
 *
 * @param more routes that do not wait for that; a process with the role `api` has the page among them
 */
export function createStarting(deps: OperationDependencies, more: readonly Route[] = []): Api {
  const routes = [...operationRoutes(deps), ...more];
  return serving(deps, routes, {
    admit({ path }) {
      if (routes.some((route) => matches(route, path))) return;
      const { status } = deps.health();
      throw new StoreUnavailable(`Stopgap is ${status}: ${deps.progress()?.reason ?? 'it is nearly ready'}`);
    },
  });
}

/** What a process without the `api` role serves: health, readiness and metrics, what its own disk holds, and mail servers. */
export function createOperations(
  deps: OperationDependencies & Pick<ApiDependencies, 'tokens' | 'outbox' | 'models' | 'mailServers'>,
  more: readonly Route[] = [],
): Api {
  const own = deps.outbox === undefined ? [] : outboxRoutes(deps);
  const { asked, elsewhere } = askedRoutes(deps);
  return serving(deps, [...operationRoutes(deps), ...own, ...asked, ...more], { elsewhere });
}

/** For mail servers: they are served by a process that sees sends, and known to others. */
function askedRoutes({ mailServers, ...deps }: Parameters<typeof createOperations>[0]): {
  readonly asked: readonly Route[];
  readonly elsewhere: Elsewhere | undefined;
} {
  // Without what answers them nobody calls them: only their paths are asked for.
  const parts = { ...deps, mailServers: mailServers ?? ({} as MailServers) };
  const routes = [...mailServerRoutes(parts), ...rspamdRoutes(parts)];
  if (mailServers !== undefined) return { asked: routes, elsewhere: undefined };
  return { asked: [], elsewhere: { routes, lacks: 'has neither the role policy nor the role smtp' } };
}

/** The HTTP side: docs/reference/api.md describes it. */
export function createApi(deps: ApiDependencies, more: readonly Route[] = []): Api {
  const feeds = new EventFeeds(deps);
  const reads = new LongReads();
  // What comes from memory does not wait for what comes from the disk.
  const looks = new LongReads();
  // Lists are both, and many.
  const lists = new LongReads();
  const { admins } = deps;
  const people =
    admins === undefined
      ? undefined
      : openPeople({ ...deps, admins }, (session) => void feeds.endOf(session));
  const { asked, elsewhere } = askedRoutes(deps);
  const routes = rootRoutes([
    ...pageRoutes(),
    overviewRoute(deps, looks),
    blockListRoute(deps, lists),
    // Before the routes of one block, which would take `actions` for its id.
    bulkActionsRoute(deps),
    ...blockRoutes(deps),
    ...blockActionRoutes(deps),
    ...heldRoutes(deps),
    blockReportRoute(deps, reads),
    blockRefusalsRoute(deps, reads),
    ...exemptionRoutes(deps, lists),
    ...overrideRoutes(deps, lists),
    bulkOverridesRoute(deps),
    ...rulesRoutes(deps),
    observedRoute(deps, lists),
    ...shadowRoutes(deps),
    ...backtestRoutes(deps),
    ...senderRoutes(deps, looks),
    senderVolumeRoute(deps, reads),
    changesRoute(deps, lists),
    ...checkRoutes(deps),
    forgetRoute(deps),
    storageRoute(deps),
    ...asked,
    feignedRoute(deps),
    ...noticeRoutes(deps),
    ...feeds.routes,
    ...(people?.routes ?? []),
    ...logRoutes(deps),
    ...outboxRoutes(deps),
    ...operationRoutes(deps),
    ...more,
  ]);
  const close = async (): Promise<void> => {
    await feeds.close();
    await deps.backtests.close();
  };
  return serving({ ...deps, people: people?.sessions }, routes, { close, elsewhere });
}

/** The people who administrate: they sign in, and have a session from then on. */
function openPeople(
  given: PeopleDependencies,
  onEnded: (session: string) => void,
): { readonly sessions: PersonSessions; readonly routes: readonly Route[] } {
  const { openId: settings, publicUrl } = given;
  const openid = settings === undefined ? {} : { openid: openIdStamp(settings) };
  const deps = { ...given, vouchers: { ...given.vouchers, ...openid } };
  const sessions = new PersonSessions(deps, onEnded);
  const attempts = new Attempts(deps);
  const signIn = new SignIn(deps, sessions, attempts);
  const account = new OwnAccount(deps, sessions, attempts);
  const passkeys = new Passkeys(deps, sessions, { attempts, account });
  const people = new People(deps, sessions);
  const openId =
    settings === undefined || publicUrl === undefined
      ? undefined
      : new OpenId(deps, sessions, attempts, { settings, publicUrl });
  return {
    sessions,
    routes: [signIn, sessions, account, passkeys, people, openId].flatMap((part) => part?.routes ?? []),
  };
}

function serving(
  deps: ServeDependencies,
  routes: readonly Route[],
  {
    close = () => Promise.resolve(),
    ...options
  }: { close?: () => Promise<void>; admit?: Admission; elsewhere?: Elsewhere | undefined } = {},
): Api {
  const app = express();
  serve(app, routes, deps, newId, options);
  return { app, routes, close };
}
