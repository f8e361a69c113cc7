import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useMemo, useState } from 'react';
import { answered, api } from '../api.js';
import { spanOf, Time, useNow } from '../time.js';
import type { Point, VolumeChartProps } from './chart-props.js';
import { Failure } from './states.js';

const Plot = lazy(() =>
  import('./chart-plot.js').catch(() => ({
    default: () => (
      <p className="quiet">The chart could not be loaded. Reload the page, or open the table below.</p>
    ),
  })),
);

const NO_MARKS: NonNullable<VolumeChartProps['marks']> = [];

/** What an account sent over time, against what is usual and the limit; the same is there as a table. */
export function VolumeChart(props: VolumeChartProps) {
  const { type, value, from, to, step, count = 'recipients', marks = NO_MARKS, limit, band } = props;
  const window = props.window !== undefined && props.window > step ? props.window : undefined;
  const now = useNow(60);
  const start = from - (window === undefined ? 0 : Math.ceil(window / step) * step);
  const query = useQuery({
    queryKey: ['sender', 'volume', type, value, start, to, step],
    queryFn: ({ signal }) => {
      const range = { from: iso(start), to: iso(to), step: `${step / 1000}s` };
      const params = { path: { type, value }, query: range };
      return answered(api.GET('/api/v1/senders/{type}/{value}/volume', { params, signal }));
    },
    enabled: type === 'account',
    placeholderData: keepPreviousData,
    refetchInterval: to > now ? 30_000 : false,
  });
  const points = useMemo(
    () => pointsOf(query.data?.items ?? [], { from, step, window, count }),
    [query.data, from, step, window, count],
  );
  if (type !== 'account')
    return <p className="quiet">What was sent is kept by account: there is no chart of this.</p>;
  if (query.isError && query.data === undefined)
    return <Failure error={query.error} retry={() => void query.refetch()} />;
  const covered = query.data?.coveredUntil ?? undefined;
  const kept = query.data?.keptSince ?? undefined;
  return (
    <figure className="chart">
      <Legend count={count} step={step} window={window} limit={limit} band={band} marks={marks} />
      <div className="chart-plot" role="img" aria-label={summaryOf(points, props)}>
        {query.data !== undefined && (
          <Suspense fallback={null}>
            <Plot
              points={points}
              from={from}
              to={to}
              step={step}
              count={count}
              window={window}
              limit={limit}
              band={band}
              marks={marks}
            />
          </Suspense>
        )}
      </div>
      {covered !== undefined && (
        <p className="fault">
          There is too much to draw it all: what came after <Time at={covered} /> is left out.
        </p>
      )}
      {kept !== undefined && (
        <p className="quiet">
          What was sent before <Time at={kept} /> is not kept any more.
        </p>
      )}
      <Table points={points} count={count} window={window} />
    </figure>
  );
}

type Item = { at: string; messages: number; recipients: number; refusals: number };

function pointsOf(
  items: readonly Item[],
  {
    from,
    step,
    window,
    count,
  }: { from: number; step: number; window: number | undefined; count: 'recipients' | 'messages' },
): readonly Point[] {
  const steps = window === undefined ? 1 : Math.ceil(window / step);
  let inWindow = 0;
  return items.flatMap((item, index) => {
    inWindow += item[count] - (items[index - steps]?.[count] ?? 0);
    const at = Date.parse(item.at);
    return at < from ? [] : [{ at, sent: item[count], inWindow, refusals: item.refusals }];
  });
}

interface Shown extends Pick<VolumeChartProps, 'step' | 'window' | 'limit' | 'band'> {
  readonly count: string;
  readonly marks: NonNullable<VolumeChartProps['marks']>;
}

/** Says what each line is: by its form, not by its colour alone. */
function Legend({ count, step, window, limit, band, marks }: Shown) {
  return (
    <figcaption className="chart-legend">
      <span>
        <i className="key key-bar" aria-hidden="true" /> {count} each {spanOf(step)}
      </span>
      {window !== undefined && (
        <span>
          <i className="key key-line" aria-hidden="true" /> within {spanOf(window)}
        </span>
      )}
      {band !== undefined && (
        <span>
          <i className="key key-band" aria-hidden="true" /> usual:{' '}
          {band.from > 0 ? `${band.from.toLocaleString()} to ` : 'up to '}
          {band.to.toLocaleString()}
        </span>
      )}
      {limit !== undefined && (
        <span>
          <i className="key key-limit" aria-hidden="true" /> limit {limit.toLocaleString()}
        </span>
      )}
      {marks.map(({ at, text }) => (
        <span key={`${at} ${text}`}>
          <i className="key key-mark" aria-hidden="true" /> {text} <Time at={iso(at)} />
        </span>
      ))}
    </figcaption>
  );
}

function Table({
  points,
  count,
  window,
}: {
  points: readonly Point[];
  count: string;
  window: number | undefined;
}) {
  const [isOpen, setOpen] = useState(false);
  const some = points.filter(({ sent, refusals }) => sent > 0 || refusals > 0).reverse();
  return (
    <details onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>The same as a table</summary>
      {isOpen && some.length === 0 && <p className="quiet">Nothing was sent in this time.</p>}
      {isOpen && some.length > 0 && (
        <div className="table-scroll" tabIndex={0} role="region" aria-label="What was sent, as a table">
          <table>
            <thead>
              <tr>
                <th scope="col">From</th>
                <th scope="col" className="number">
                  {count === 'recipients' ? 'Recipients' : 'Messages'}
                </th>
                {window !== undefined && (
                  <th scope="col" className="number">
                    Within {spanOf(window)}
                  </th>
                )}
                <th scope="col" className="number">
                  Refused
                </th>
              </tr>
            </thead>
            <tbody>
              {some.map(({ at, sent, inWindow, refusals }) => (
                <tr key={at}>
                  <td>
                    <Time at={iso(at)} />
                  </td>
                  <td className="number">{sent.toLocaleString()}</td>
                  {window !== undefined && <td className="number">{inWindow.toLocaleString()}</td>}
                  <td className="number">{refusals.toLocaleString()}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

function summaryOf(
  points: readonly Point[],
  { value, count = 'recipients', limit, step }: VolumeChartProps,
): string {
  const sum = points.reduce((total, { sent }) => total + sent, 0);
  const most = points.reduce((high, { sent }) => Math.max(high, sent), 0);
  const against = limit === undefined ? '' : ` The limit is ${limit.toLocaleString()}.`;
  if (sum === 0) return `Chart: ${value} sent nothing in this time.${against}`;
  const sent = `${sum.toLocaleString()} ${count} in all, at most ${most.toLocaleString()} within ${spanOf(step)}`;
  return `Chart of what ${value} sent: ${sent}.${against}`;
}

const iso = (instant: number): string => new Date(instant).toISOString();
