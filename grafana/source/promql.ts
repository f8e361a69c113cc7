/*
 * Queries as docs/reference/metrics.md says they are right: counters count what one process did and are summed over the processes;
 * gauges that are read off the read models say the same in every process that has caught up, and of those the greatest
 * is taken.
 */

/** Over what a rate is taken: Grafana makes it fit the scrape interval and the resolution. */
const RATE = '$__rate_interval';
/** The time range that is shown. */
export const RANGE = '$__range';
/** What is rare is counted over this, as chosen at the top. */
export const WINDOW = '$window';

type By = readonly string[];

/** Makes queries over the series that a scope lets through: `job="$job"`. */
export class Series {
  constructor(readonly scope: string) {}

  /** The series of a metric. */
  of(metric: string, ...matchers: readonly string[]): string {
    return `${metric}{${[this.scope, ...matchers].join(',')}}`;
  }

  /** A second, over all processes. */
  rate(by: By, metric: string, ...matchers: readonly string[]): string {
    return `${sum(by)}(rate(${this.of(metric, ...matchers)}[${RATE}]))`;
  }

  /** How many within a window, over all processes. */
  increase(by: By, window: string, metric: string, ...matchers: readonly string[]): string {
    return `${sum(by)}(increase(${this.of(metric, ...matchers)}[${window}]))`;
  }

  /** How many between two points of the graph, or a little more where these are close. */
  bars(by: By, metric: string, ...matchers: readonly string[]): string {
    return this.increase(by, RATE, metric, ...matchers);
  }

  /** What all processes that have caught up say alike. */
  max(by: By, metric: string, ...matchers: readonly string[]): string {
    return `${aggregate('max', by)}(${this.of(metric, ...matchers)})`;
  }

  /** What has to hold in every process. */
  min(by: By, metric: string, ...matchers: readonly string[]): string {
    return `${aggregate('min', by)}(${this.of(metric, ...matchers)})`;
  }

  /** What each process has of its own. */
  sum(by: By, metric: string, ...matchers: readonly string[]): string {
    return `${sum(by)}(${this.of(metric, ...matchers)})`;
  }

  /** The quantile that is chosen at the top, of a histogram. */
  quantile(by: By, histogram: string, window: string = RATE): string {
    const buckets = `${sum(['le', ...by])}(rate(${this.of(`${histogram}_bucket`)}[${window}]))`;
    return `histogram_quantile($quantile, ${buckets})`;
  }

  /** The mean of what a histogram has seen within a window. */
  mean(by: By, histogram: string, window: string): string {
    return share(
      this.increase(by, window, `${histogram}_sum`),
      this.increase(by, window, `${histogram}_count`),
    );
  }

  /** 0 if a query gives nothing although Stopgap answers; still nothing if it does not. */
  orZero(expr: string): string {
    return `(${expr} or 0 * max(${this.of('stopgap_build_info')}))`;
  }
}

/** Of one installation: what its processes say is put together. */
export const installation = new Series('job="$job"');
/** Of those of its processes that are chosen at the top. */
export const processes = new Series('job="$job",instance=~"$instance"');

/** One of the other; nothing if there is nothing to have a share of. */
export function share(part: string, whole: string): string {
  return `${part} / (${whole} > 0)`;
}

const sum = (by: By): string => aggregate('sum', by);

function aggregate(operator: string, by: By): string {
  return by.length === 0 ? operator : `${operator} by (${by.join(', ')}) `;
}
