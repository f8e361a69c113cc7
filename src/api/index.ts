import type http from 'node:http';
import express from 'express';
import type { Express } from 'express';
import type { ListenAddress } from '../config/types.js';
import { newId } from '../ids.js';
import { backtestRoutes } from './backtests.js';
import { blockActionRoutes } from './block-actions.js';
import { BlockOrder } from './block-order.js';
import { blockRoutes } from './blocks.js';
import { checkRoutes } from './check.js';
import { Commands } from './commands.js';
import type { ApiDependencies } from './dependencies.js';
import { entranceRoutes } from './entrance.js';
import { exemptionRoutes } from './exemptions.js';
import { EventFeeds } from './feed.js';
import { listen } from './http/listen.js';
import type { Listener } from './http/listen.js';
import type { Route } from './http/route.js';
import { serve } from './http/serve.js';
import { logRoutes } from './log.js';
import { overrideRoutes } from './overrides.js';
import { operationRoutes } from './operations.js';
import { observedRoute } from './observed.js';
import { rulesRoutes } from './rules.js';
import { senderRoutes } from './senders.js';
import { shadowRoutes } from './shadow-rules.js';

export type { ApiDependencies, Authenticator, Caller, HealthReport } from './dependencies.js';

export interface Api {
  readonly app: Express;
  /** Every route there is: what the OpenAPI document is made from. */
  readonly routes: readonly Route[];
  /** Binds; rejects where the address cannot be had. May be called for several addresses. */
  listen(address: ListenAddress): Promise<http.Server>;
  /** Ends the event feeds, finishes the requests under way (3 s at most), closes the servers. */
  close(): Promise<void>;
}

/** What a process without the `api` role serves: health, readiness and metrics, no resource and no token. */
export function createOperations(deps: ApiDependencies): Api {
  return serving(deps, operationRoutes(deps), () => Promise.resolve());
}

/** The HTTP side: docs/api.md describes it. */
export function createApi(deps: ApiDependencies): Api {
  const commands = new Commands(deps);
  const feeds = new EventFeeds(deps);
  const order = new BlockOrder(deps.models.ledger);
  const routes = entranceRoutes([
    ...blockRoutes(deps, commands, order),
    ...blockActionRoutes(deps, commands),
    ...exemptionRoutes(deps, commands),
    ...overrideRoutes(deps),
    ...rulesRoutes(deps, order),
    observedRoute(deps),
    ...shadowRoutes(deps, order),
    ...backtestRoutes(deps),
    ...senderRoutes(deps),
    ...checkRoutes(deps),
    ...feeds.routes,
    ...logRoutes(deps),
    ...operationRoutes(deps),
  ]);
  return serving(deps, routes, () => feeds.close());
}

function serving(deps: ApiDependencies, routes: readonly Route[], finish: () => Promise<void>): Api {
  const app = express();
  serve(app, routes, deps, newId);
  const listeners: Listener[] = [];
  return {
    app,
    routes,
    async listen(address) {
      const listener = await listen(app, address, ({ message: error }) =>
        deps.log.error({ error }, 'an HTTP connection was not taken'),
      );
      listeners.push(listener);
      return listener.server;
    },
    async close() {
      await finish();
      await Promise.all(listeners.splice(0).map((listener) => listener.close()));
    },
  };
}
