import type { DashboardLink, GridPos, ValueMap } from '@grafana/schema';
import {
  BarGaugeDisplayMode,
  BarGaugeNamePlacement,
  BarGaugeSizing,
  BarGaugeValueMode,
  BigValueColorMode,
  BigValueGraphMode,
  BigValueJustifyMode,
  BigValueTextMode,
  FieldColorModeId,
  GraphDrawStyle,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  MappingType,
  PercentChangeColorMode,
  SortOrder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizOrientation,
} from '@grafana/schema';
import type {
  AnyPanel,
  BarGaugePanel,
  DataLink,
  GraphFieldConfig,
  Override,
  PrometheusQuery,
  StatPanel,
  TimeseriesPanel,
} from './schema.js';
import { steps } from './thresholds.js';
import type { Thresholds } from './thresholds.js';
import { DATASOURCE } from './variables.js';

/** Units as Grafana calls them; `suffix:/s` is of our own making: its own units a second name what is counted. */
export type Unit =
  'none' | 'short' | 's' | 'percentunit' | 'bytes' | 'suffix:/s' | 'suffix: a send' | 'dateTimeFromNow';

/** What every panel says of itself. */
export interface Frame {
  readonly title: string;
  /** What it shows and what to do about it; Markdown. */
  readonly description: string;
  readonly unit: Unit;
  /** Width and height in Grafana's grid, which is 24 wide. */
  readonly size: readonly [w: number, h: number];
  readonly queries: readonly Query[];
  readonly thresholds?: Thresholds;
  readonly decimals?: number;
  /** Values that have a name: a state, not a number. */
  readonly states?: Readonly<Record<number, readonly [text: string, color: string]>>;
  /** What is shown if there is no value at all. */
  readonly none?: string;
  /** At the panel's title. */
  readonly links?: readonly DashboardLink[];
  /** Behind its values. */
  readonly valueLinks?: readonly DataLink[];
}

export interface Query {
  readonly expr: string;
  /** Names a series: `{{rule}}`. */
  readonly legend?: string;
  readonly instant?: boolean;
  readonly exemplar?: boolean;
}

/** Without a place on the grid and a number. */
export type Unplaced<Panel extends AnyPanel = AnyPanel> = Panel extends AnyPanel
  ? Omit<Panel, 'id' | 'gridPos'> & { gridPos: Pick<GridPos, 'w' | 'h'> }
  : never;

/** A query over the time range. */
export function over(expr: string, legend?: string): Query {
  return legend === undefined ? { expr } : { expr, legend };
}

/** A query as of the end of the time range. */
export function now(expr: string, legend?: string): Query {
  return { ...over(expr, legend), instant: true };
}

/** One number, or a few; coloured if it has thresholds or states. */
export function stat(frame: Frame): Unplaced<StatPanel> {
  const isColored = frame.thresholds !== undefined || frame.states !== undefined;
  return {
    ...common(frame),
    type: 'stat',
    fieldConfig: { defaults: { ...defaults(frame), custom: {} }, overrides: [] },
    options: {
      ...lastValue(),
      colorMode: isColored ? BigValueColorMode.Background : BigValueColorMode.None,
      graphMode: frame.queries.some(({ instant }) => instant === true)
        ? BigValueGraphMode.None
        : BigValueGraphMode.Area,
      justifyMode: BigValueJustifyMode.Auto,
      orientation: VizOrientation.Auto,
      percentChangeColorMode: PercentChangeColorMode.Standard,
      showPercentChange: false,
      textMode: frame.queries.some(({ legend }) => legend !== undefined)
        ? BigValueTextMode.ValueAndName
        : BigValueTextMode.Value,
      wideLayout: true,
    },
  };
}

/** A bar for each series. */
export function barGauge(frame: Frame & { readonly max?: number }): Unplaced<BarGaugePanel> {
  const range = frame.max === undefined ? { min: 0 } : { min: 0, max: frame.max };
  return {
    ...common(frame),
    type: 'bargauge',
    fieldConfig: { defaults: { ...defaults(frame), ...range, custom: {} }, overrides: [] },
    options: {
      ...lastValue(),
      displayMode: BarGaugeDisplayMode.Basic,
      legend: { calcs: [], displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: false },
      maxVizHeight: 300,
      minVizHeight: 16,
      minVizWidth: 8,
      namePlacement: BarGaugeNamePlacement.Left,
      orientation: VizOrientation.Horizontal,
      showUnfilled: true,
      sizing: BarGaugeSizing.Auto,
      valueMode: BarGaugeValueMode.Color,
    },
  };
}

export interface Graph extends Frame {
  /** Counts in bars, on each other; lines otherwise. */
  readonly bars?: boolean;
  /** Series whose name has a color of its own. */
  readonly colors?: Readonly<Record<string, string>>;
  readonly max?: number;
}

/** Over time. Thresholds are lines. */
export function graph(frame: Graph): Unplaced<TimeseriesPanel> {
  const { bars = false, colors = {}, max } = frame;
  const custom: GraphFieldConfig = {
    drawStyle: bars ? GraphDrawStyle.Bars : GraphDrawStyle.Line,
    fillOpacity: bars ? 70 : 10,
    lineWidth: bars ? 0 : 1,
    showPoints: VisibilityMode.Auto,
    spanNulls: false,
    stacking: { group: 'A', mode: bars ? StackingMode.Normal : StackingMode.None },
    thresholdsStyle: {
      mode: frame.thresholds === undefined ? GraphThresholdsStyleMode.Off : GraphThresholdsStyleMode.Dashed,
    },
  };
  const range = max === undefined ? { min: 0 } : { min: 0, max };
  return {
    ...common(frame),
    type: 'timeseries',
    fieldConfig: {
      defaults: {
        ...defaults(frame),
        ...range,
        color: { mode: FieldColorModeId.PaletteClassicByName },
        custom,
      },
      overrides: Object.entries(colors).map(([name, color]): Override<GraphFieldConfig> => {
        const value = { mode: FieldColorModeId.Fixed, fixedColor: color };
        return { matcher: { id: 'byName', options: name }, properties: [{ id: 'color', value }] };
      }),
    },
    options: {
      legend: { calcs: [], displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: true },
      tooltip: { mode: TooltipDisplayMode.Multi, sort: SortOrder.Descending },
    },
  };
}

/** What every kind of panel has. */
export function common(frame: Pick<Frame, 'title' | 'description' | 'size' | 'queries' | 'links'>) {
  const [w, h] = frame.size;
  return {
    title: frame.title,
    description: frame.description,
    datasource: DATASOURCE,
    gridPos: { w, h },
    targets: frame.queries.map(target),
    links: [...(frame.links ?? [])],
  };
}

/** What every kind of value has. */
export function defaults(frame: Omit<Frame, 'title' | 'description' | 'size' | 'queries' | 'links'>) {
  const { unit, decimals, states, none, thresholds = [['text']], valueLinks = [] } = frame;
  return {
    unit,
    ...(decimals === undefined ? {} : { decimals }),
    ...(none === undefined ? {} : { noValue: none }),
    mappings: states === undefined ? [] : [named(states)],
    color: { mode: FieldColorModeId.Thresholds },
    thresholds: steps(thresholds),
    links: [...valueLinks],
  };
}

function named(states: NonNullable<Frame['states']>): ValueMap {
  const options: ValueMap['options'] = {};
  for (const [value, [text, color]] of Object.entries(states)) options[value] = { text, color };
  return { type: MappingType.ValueToText, options };
}

function target({ expr, legend, instant = false, exemplar }: Query, index: number): PrometheusQuery {
  return {
    refId: String.fromCharCode('A'.charCodeAt(0) + index),
    datasource: DATASOURCE,
    editorMode: 'code',
    expr,
    legendFormat: legend ?? '__auto',
    instant,
    range: !instant,
    ...(exemplar === undefined ? {} : { exemplar }),
  };
}

const lastValue = () => ({ reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false } });
