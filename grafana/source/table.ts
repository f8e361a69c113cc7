import type { DataTransformerConfig } from '@grafana/schema';
import { TableCellDisplayMode, TableCellHeight } from '@grafana/schema';
import type { Frame, Unplaced } from './panels.js';
import { common, defaults, now } from './panels.js';
import type { DataLink, Override, TableFieldConfig, TablePanel } from './schema.js';
import { steps } from './thresholds.js';
import type { Thresholds } from './thresholds.js';

export interface Table extends Omit<Frame, 'queries' | 'thresholds' | 'states' | 'valueLinks'> {
  /** Labels that tell the rows apart: they come first. */
  readonly labels: readonly LabelColumn[];
  /** A query each; all have these labels and no others. */
  readonly values: readonly ValueColumn[];
  /** By which column the rows are sorted; the greatest come first if it holds values. */
  readonly sortBy: string;
}

export interface LabelColumn {
  readonly label: string;
  readonly title: string;
  readonly links?: readonly DataLink[];
}

export interface ValueColumn {
  /** Without one the query only says which rows there are. */
  readonly title?: string;
  readonly expr: string;
  readonly unit?: Frame['unit'];
  readonly thresholds?: Thresholds;
}

/** A row for each set of labels, as of the end of the time range. */
export function table(frame: Table): Unplaced<TablePanel> {
  const { labels, values, sortBy } = frame;
  const panel = common({ ...frame, queries: values.map(({ expr }) => now(expr)) });
  return {
    ...panel,
    targets: panel.targets.map((target) => ({ ...target, format: 'table' as const })),
    type: 'table',
    fieldConfig: {
      defaults: {
        ...defaults(frame),
        custom: { align: 'auto', cellOptions: { type: TableCellDisplayMode.Auto }, inspect: false },
      },
      overrides: [...labels.map(labelOverride), ...values.map(valueOverride)].filter(
        ({ properties }) => properties.length > 0,
      ),
    },
    options: {
      cellHeight: TableCellHeight.Sm,
      frameIndex: 0,
      showHeader: true,
      sortBy: [{ displayName: sortBy, desc: values.some(({ title }) => title === sortBy) }],
    },
    transformations: transformations(labels, values),
  };
}

/** One row from the rows of all queries; columns in our order, under our names. */
function transformations(
  labels: readonly LabelColumn[],
  values: readonly ValueColumn[],
): DataTransformerConfig[] {
  const valueField = (index: number): string =>
    values.length > 1 ? `Value #${String.fromCharCode('A'.charCodeAt(0) + index)}` : 'Value';
  const columns = [
    ...labels.map(({ label, title }) => ({ field: label, title })),
    ...values.map(({ title }, index) => ({ field: valueField(index), title })),
  ];
  const hidden = ['Time', ...columns.filter(({ title }) => title === undefined).map(({ field }) => field)];
  const organize = {
    excludeByName: Object.fromEntries(hidden.map((field) => [field, true])),
    indexByName: Object.fromEntries(columns.map(({ field }, index) => [field, index])),
    renameByName: Object.fromEntries(
      columns.flatMap(({ field, title }) => (title === undefined ? [] : [[field, title]])),
    ),
  };
  return [
    ...(values.length > 1 ? [{ id: 'merge', options: {} }] : []),
    { id: 'organize', options: organize },
  ];
}

function labelOverride({ title, links }: LabelColumn): Override<TableFieldConfig> {
  return {
    matcher: { id: 'byName', options: title },
    properties: links === undefined ? [] : [{ id: 'links', value: links }],
  };
}

function valueOverride({ title = '', unit, thresholds }: ValueColumn): Override<TableFieldConfig> {
  return {
    matcher: { id: 'byName', options: title },
    properties: [
      ...(unit === undefined ? [] : [{ id: 'unit' as const, value: unit }]),
      ...(thresholds === undefined
        ? []
        : [
            { id: 'thresholds' as const, value: steps(thresholds) },
            {
              id: 'custom.cellOptions' as const,
              value: { type: TableCellDisplayMode.ColorText as const },
            },
          ]),
    ],
  };
}
