import type { Counter, Histogram, LabelValues, OpenMetricsContentType } from 'prom-client';
import { Registry } from 'prom-client';

/** What prom-client's metrics have in common. */
export interface Shown {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames: readonly string[];
  get(): Promise<ShownValues>;
  reset(): void;
}

/** What prom-client's metrics give for themselves. */
export interface ShownValues {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly values: readonly {
    readonly labels: Readonly<Record<string, string | number>>;
    readonly value: number;
    /** Set if it differs from the metric's: `…_bucket`, `…_sum`. */
    readonly metricName?: string;
  }[];
}

/** A counter for these labels. It shows 0 until it counts, so that the first of each is an increase. */
export function counterFrom0<Label extends string>(
  counter: Counter<Label>,
  labels: LabelValues<Label>,
): Counter.Internal {
  counter.inc(labels, 0);
  return counter.labels(labels);
}

/** A histogram for these labels, which shows from here on. */
export function histogramFrom0<Label extends string>(
  histogram: Histogram<Label>,
  labels: LabelValues<Label>,
): Histogram.Internal<string> {
  histogram.zero(labels);
  return histogram.labels(labels);
}

/** A registry that can look things up before it is read, and speaks both formats. */
export class ScrapedRegistry extends Registry {
  beforeScrape: (() => Promise<void>) | undefined;

  /** Adds a metric; prom-client's own that have exemplars too, which it would only add to an OpenMetrics registry. */
  add<M extends object>(metric: M): M {
    this.registerMetric(metric as Parameters<Registry['registerMetric']>[0]);
    return metric;
  }

  /** Every metric of every kind. */
  shown(): readonly Shown[] {
    return this.getMetricsAsArray() as unknown as readonly Shown[];
  }

  /** The Prometheus text format, which has no exemplars. */
  override async metrics(): Promise<string> {
    await this.beforeScrape?.();
    return super.metrics();
  }

  /** OpenMetrics 1.0, with exemplars. */
  async openMetrics(): Promise<string> {
    await this.beforeScrape?.();
    const open = new Registry<OpenMetricsContentType>();
    open.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    for (const metric of this.shown()) {
      const shown = metric.type === 'counter' ? withoutTotal(metric) : metric;
      open.registerMetric(shown as unknown as Parameters<Registry['registerMetric']>[0]);
    }
    return open.metrics();
  }
}

/**
 * In OpenMetrics a counter's family is named without the `_total` that its samples bear. prom-client would rename
 * the metric itself, and the other format from then on.
 */
function withoutTotal(counter: Shown): Pick<Shown, 'name' | 'type' | 'get'> {
  const name = counter.name.replace(/_total$/, '');
  return { name, type: 'counter', get: async () => ({ ...(await counter.get()), name }) };
}

/**
 * Whether an Accept header prefers OpenMetrics to plain text (RFC 9110, 12.5.1). Parameters other than `q` and the
 * version are passed over: scrapers send some that mean nothing to the choice.
 */
export function wantsOpenMetrics(accept: string | undefined): boolean {
  let open = 0;
  let plain = 0;
  for (const range of (accept ?? '').split(',')) {
    const [type, ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const parameter = (name: string): string | undefined =>
      parameters.find((text) => text.startsWith(`${name}=`))?.slice(name.length + 1);
    const quality = Number(parameter('q') ?? 1);
    if (type === 'text/plain' || type === 'text/*' || type === '*/*') plain = Math.max(plain, quality);
    else if (type === 'application/openmetrics-text' && ['1.0.0', undefined].includes(parameter('version')))
      open = Math.max(open, quality);
  }
  return open > 0 && open >= plain;
}
