import { Counter, Gauge, Histogram } from 'prom-client';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { ScrapedRegistry } from './registry.js';

/** Measures the API. Methods and routes come from the route table. */
export class ApiMetrics {
  readonly #requests = new Counter({
    name: 'stopgap_api_requests_total',
    help: 'Requests answered.',
    labelNames: ['method', 'route', 'status'] as const,
    registers: [],
  });
  readonly #seconds = new Histogram({
    name: 'stopgap_api_request_seconds',
    help: 'Time to answer an API request, by route.',
    labelNames: ['method', 'route'] as const,
    // Few: there are some dozen routes.
    buckets: [0.005, 0.025, 0.1, 0.5, 2.5],
    registers: [],
  });
  readonly feeds = new Gauge({
    name: 'stopgap_api_feeds',
    help: 'Event feeds that are open.',
    registers: [],
  });

  constructor(registry: ScrapedRegistry) {
    for (const metric of [this.#requests, this.#seconds, this.feeds]) registry.add(metric);
  }

  answered(method: string, route: string, status: string, took: Milliseconds): void {
    this.#requests.inc({ method, route, status });
    this.#seconds.observe({ method, route }, took / SECOND);
  }
}
