/** One series of an answer, with its value now. */
export interface Found {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A client of Prometheus' HTTP API. */
export class PrometheusClient {
  constructor(readonly address: string) {}

  /** Whether it takes queries: it listens a moment earlier. */
  async ready(): Promise<boolean> {
    const response = await fetch(`http://${this.address}/-/ready`);
    await response.arrayBuffer();
    return response.ok;
  }

  /** What an expression gives now. @throws with what Prometheus says of an expression that it does not take */
  async query(expr: string): Promise<readonly Found[]> {
    const { result } = await this.#get<{ result: readonly RawFound[] }>('query', { query: expr });
    return result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }));
  }

  /** The values of a label in the series that a selector matches. */
  labelValues(label: string, selector: string): Promise<readonly string[]> {
    return this.#get(`label/${label}/values`, { 'match[]': selector });
  }

  /** Labels of the exemplars of a selector within the last hour. */
  async exemplars(selector: string, now = Date.now()): Promise<readonly Readonly<Record<string, string>>[]> {
    const range = { start: String(now / 1000 - 3600), end: String(now / 1000 + 60) };
    const series = await this.#get<readonly { exemplars: readonly { labels: Record<string, string> }[] }[]>(
      'query_exemplars',
      { query: selector, ...range },
    );
    return series.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels));
  }

  async #get<T>(what: string, query: Readonly<Record<string, string>>): Promise<T> {
    const response = await fetch(
      `http://${this.address}/api/v1/${what}?${new URLSearchParams(query).toString()}`,
    );
    const answer = (await response.json()) as { status: string; error?: string; data: T };
    if (answer.status !== 'success') throw new Error(`${answer.error}\n${Object.values(query).join('\n')}`);
    return answer.data;
  }
}

interface RawFound {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [at: number, value: string];
}
