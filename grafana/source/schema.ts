/*
 * What Grafana's own schema leaves open: queries of the Prometheus data source, links of values, and the options of
 * each kind of panel, which are loose in `Panel` and strict in the schema of the panel. With these the compiler refuses a
 * misspelt option.
 */
import type {
  AnnotationQuery,
  DashboardLink,
  DataQuery,
  DataTransformerConfig,
  FieldColor,
  FieldConfig,
  GraphFieldConfig,
  Panel,
} from '@grafana/schema';
import type { Options as BarGaugeOptions } from '@grafana/schema/dist/types/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen.d.ts';
import type { Options as StatOptions } from '@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen.d.ts';
import type {
  FieldConfig as TableFieldConfig,
  Options as TableOptions,
} from '@grafana/schema/dist/types/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen.d.ts';
import type { Options as TimeseriesOptions } from '@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen.d.ts';

/** A query of the data source `prometheus`, which has its schema in its plugin. */
export interface PrometheusQuery extends DataQuery {
  readonly expr: string;
  readonly legendFormat?: string;
  readonly format?: 'time_series' | 'table' | 'heatmap';
  /** One sample, as of the end of the time range. */
  readonly instant?: boolean;
  readonly range?: boolean;
  readonly exemplar?: boolean;
  readonly editorMode?: 'code';
}

/** Marks on the time axis, where a query of Prometheus is above 0. */
export interface PrometheusAnnotation extends AnnotationQuery<PrometheusQuery> {
  readonly titleFormat?: string;
  readonly textFormat?: string;
  /** Labels that become tags, separated by commas. */
  readonly tagKeys?: string;
}

/** What a click on a value leads to. */
export interface DataLink {
  readonly title: string;
  readonly url: string;
  readonly targetBlank: boolean;
}

interface Strict<Type extends string, Options, Custom> extends Omit<
  Panel,
  'type' | 'options' | 'fieldConfig' | 'targets' | 'transformations' | 'links'
> {
  type: Type;
  title: string;
  description: string;
  options: Options;
  fieldConfig: {
    defaults: Omit<FieldConfig, 'custom' | 'links'> & { custom: Custom; links: DataLink[] };
    overrides: Override<Custom>[];
  };
  targets: PrometheusQuery[];
  transformations?: DataTransformerConfig[];
  links: DashboardLink[];
}

/** Any options of a field, for one field by name. */
export interface Override<Custom = GraphFieldConfig | TableFieldConfig> {
  matcher: { id: 'byName'; options: string };
  properties: readonly Property<Custom>[];
}
type Property<Custom> =
  | { id: 'unit' | 'displayName'; value: string }
  | { id: 'decimals'; value: number }
  | { id: 'color'; value: FieldColor }
  | { id: 'links'; value: readonly DataLink[] }
  | { id: 'thresholds'; value: FieldConfig['thresholds'] }
  | { [Key in keyof Custom & string]: { id: `custom.${Key}`; value: Custom[Key] } }[keyof Custom & string];

export type StatPanel = Strict<'stat', StatOptions, Record<string, never>>;
export type BarGaugePanel = Strict<'bargauge', BarGaugeOptions, Record<string, never>>;
export type TimeseriesPanel = Strict<'timeseries', TimeseriesOptions, GraphFieldConfig>;
export type TablePanel = Strict<'table', TableOptions, TableFieldConfig>;
export type AnyPanel = StatPanel | BarGaugePanel | TimeseriesPanel | TablePanel;
export type { GraphFieldConfig, TableFieldConfig };
