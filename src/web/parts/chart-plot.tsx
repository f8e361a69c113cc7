import { useEffect, useRef } from 'react';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Point, VolumeChartProps } from './chart-props.js';

const HEIGHT = 220;

interface PlotProps extends Pick<VolumeChartProps, 'from' | 'to' | 'step' | 'window' | 'limit' | 'band'> {
  readonly points: readonly Point[];
  readonly count: string;
  readonly marks: NonNullable<VolumeChartProps['marks']>;
}

/** The canvas of a chart, in a file of its own: only screens with a chart load the library. */
export default function Plot(props: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLParagraphElement>(null);
  const { points } = props;
  useEffect(() => {
    const element = place.current!;
    // Colours may change between the end of the element and that of this effect.
    const said = readout.current!;
    let plot = draw(element, said, props);
    const resized = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    const redraw = (): void => {
      plot.destroy();
      plot = draw(element, said, props);
    };
    const schemes = ['(prefers-color-scheme: dark)', '(forced-colors: active)'].map((query) =>
      matchMedia(query),
    );
    for (const scheme of schemes) scheme.addEventListener('change', redraw);
    return () => {
      for (const scheme of schemes) scheme.removeEventListener('change', redraw);
      resized.disconnect();
      plot.destroy();
    };
    // Each of them changes what is drawn; a parent may make equal ones anew.
  }, [
    points,
    props.from,
    props.to,
    props.step,
    props.window,
    props.limit,
    JSON.stringify([props.band, props.marks]),
  ]);
  return (
    <>
      <p ref={readout} className="chart-readout" />
      <div ref={place} />
    </>
  );
}

function draw(element: HTMLElement, readout: HTMLElement, props: PlotProps): uPlot {
  const { points, from, to, step, count, window, limit, band, marks } = props;
  const color = colorsOf(element);
  const seconds = (instant: number): number => instant / 1000;
  const most = Math.max(
    ...points.map(({ sent, inWindow }) => (window === undefined ? sent : Math.max(sent, inWindow))),
    limit ?? 0,
    band?.to ?? 0,
    5,
  );
  const bars = uPlot.paths.bars!({ size: [0.8, 40, 1], align: 1 });
  const stepped = uPlot.paths.stepped!({ align: 1 });
  const axis = {
    stroke: color('--quiet'),
    grid: { stroke: color('--line'), width: 1 },
    ticks: { show: false },
    font: `12px ${getComputedStyle(element).fontFamily}`,
  };
  const across = (
    plot: uPlot,
    at: number,
    paint: (ctx: CanvasRenderingContext2D, y: number) => void,
  ): void => {
    plot.ctx.save();
    paint(plot.ctx, Math.round(plot.valToPos(at, 'y', true)));
    plot.ctx.restore();
  };
  return new uPlot(
    {
      width: element.clientWidth,
      height: HEIGHT,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: {
        x: { time: true, range: () => [seconds(from), seconds(to)] },
        y: { range: () => [0, most * 1.1] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          space: 70,
          size: 28,
          values: (_, splits) => splits.map(clock(to - from)),
        },
        {
          ...axis,
          size: 52,
          incrs: [
            1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 500_000,
          ],
          values: (_, splits) => splits.map((split) => split.toLocaleString()),
        },
      ],
      series: [
        {},
        { paths: bars, fill: color('--chart-bar'), width: 0, points: { show: false } },
        {
          paths: stepped,
          stroke: color('--accent'),
          width: 2,
          show: window !== undefined,
          points: { show: false },
        },
      ],
      hooks: {
        // Below what was sent.
        drawAxes: [
          (plot) => {
            if (band === undefined) return;
            const { left, width } = plot.bbox;
            across(plot, band.to, (ctx, y) => {
              ctx.fillStyle = color('--chart-band');
              ctx.fillRect(left, y, width, plot.valToPos(band.from, 'y', true) - y);
            });
          },
        ],
        draw: [
          (plot) => {
            const { left, top, width, height } = plot.bbox;
            const line = (
              x1: number,
              y1: number,
              x2: number,
              y2: number,
              name: string,
              dash: number[],
            ): void => {
              const { ctx } = plot;
              ctx.save();
              ctx.strokeStyle = color(name);
              ctx.lineWidth = 2 * devicePixelRatio;
              ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
              ctx.beginPath();
              ctx.moveTo(x1, y1);
              ctx.lineTo(x2, y2);
              ctx.stroke();
              ctx.restore();
            };
            if (limit !== undefined)
              across(plot, limit, (_, y) => line(left, y, left + width, y, '--bad', [6, 4]));
            for (const { at } of marks) {
              if (at < from || at > to) continue;
              const x = Math.round(plot.valToPos(seconds(at), 'x', true));
              line(x, top, x, top + height, '--warn', [2, 3]);
            }
          },
        ],
        setCursor: [
          ({ cursor: { idx } }) => {
            const point = idx === null || idx === undefined ? undefined : points[idx];
            readout.textContent = point === undefined ? '' : textOf(point, { step, count, window });
          },
        ],
      },
    },
    [
      points.map(({ at }) => seconds(at)),
      points.map(({ sent }) => sent),
      points.map(({ inWindow }) => inWindow),
    ],
    element,
  );
}

/** A token's colour as it is now: a canvas knows no custom properties. */
function colorsOf(element: HTMLElement): (token: string) => string {
  const probe = element.appendChild(document.createElement('span'));
  const tokens = ['--quiet', '--line', '--accent', '--bad', '--warn', '--chart-bar', '--chart-band'];
  const known = new Map(
    tokens.map((token) => {
      probe.style.color = `var(${token})`;
      return [token, getComputedStyle(probe).color];
    }),
  );
  probe.remove();
  return (token) => known.get(token)!;
}

const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric' });

/** Days are named where there are some; else the first moment of one is. */
function clock(length: number): (seconds: number) => string {
  return (seconds) => {
    const instant = new Date(seconds * 1000);
    const isMidnight = instant.getHours() === 0 && instant.getMinutes() === 0;
    return isMidnight ? day.format(instant) : length > 3 * 86_400_000 ? '' : time.format(instant);
  };
}

function textOf(
  point: Point,
  { step, count, window }: { step: number; count: string; window: number | undefined },
): string {
  const until = time.format(point.at + step);
  const within = window === undefined ? '' : `, ${point.inWindow.toLocaleString()} within the window`;
  const refused = point.refusals === 0 ? '' : `, ${point.refusals.toLocaleString()} refused`;
  return `${time.format(point.at)} to ${until}: ${point.sent.toLocaleString()} ${count}${within}${refused}`;
}
