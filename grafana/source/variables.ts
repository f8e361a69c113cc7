import type { DataSourceRef, VariableModel } from '@grafana/schema';
import { VariableRefresh, VariableSort } from '@grafana/schema';

/** The Prometheus that is chosen at the top. */
export const DATASOURCE: DataSourceRef = { type: 'prometheus', uid: '${datasource}' };

export const datasource: VariableModel = {
  name: 'datasource',
  label: 'Prometheus',
  description: 'Which Prometheus scrapes Stopgap',
  type: 'datasource',
  query: 'prometheus',
  refresh: VariableRefresh.onDashboardLoad,
};

/** One installation at a time: what its processes say is summed, and two of them have nothing to do with each other. */
export const job: VariableModel = {
  ...labelValues('stopgap_build_info', 'job', VariableRefresh.onDashboardLoad),
  name: 'job',
  label: 'Installation',
  description: 'The job under which Prometheus scrapes the processes of one Stopgap',
};

export const instance: VariableModel = {
  ...labelValues('stopgap_build_info{job="$job"}', 'instance'),
  ...many(),
  name: 'instance',
  label: 'Process',
  description: 'Which processes of it',
};

export const rule: VariableModel = {
  ...labelValues('stopgap_verdicts_total{job="$job"}', 'rule'),
  ...many(),
  name: 'rule',
  label: 'Rule',
  description: 'Which rules; (other) are those that are gone',
};

export const quantile: VariableModel = {
  ...choice('custom', ['0.5', '0.9', '0.99'], '0.9'),
  name: 'quantile',
  label: 'Quantile',
  description: 'Of durations: this share of them is below the line',
};

export const window: VariableModel = {
  ...choice('interval', ['15m', '1h', '6h', '1d', '7d'], '1h'),
  name: 'window',
  label: 'Count over',
  description: 'What is rare is counted over this time',
};

/** As the administrator's browser reaches it: `api.publicUrl`. */
export const api = text('api', "Stopgap's API", 'Where links into the API lead', 'http://127.0.0.1:8025');

export const docs = text(
  'docs',
  "Stopgap's files",
  'Where links to runbooks begin: what shows this repository, with a slash at its end',
  'https://git.example.com/stopgap/',
);

function labelValues(
  metric: string,
  label: string,
  refresh = VariableRefresh.onTimeRangeChanged,
): Omit<VariableModel, 'name'> {
  return {
    type: 'query',
    datasource: DATASOURCE,
    query: {
      query: `label_values(${metric}, ${label})`,
      refId: 'PrometheusVariableQueryEditor-VariableQuery',
    },
    refresh,
    sort: VariableSort.alphabeticalAsc,
  };
}

function many(): Pick<VariableModel, 'multi' | 'includeAll' | 'allValue' | 'current'> {
  return { multi: true, includeAll: true, allValue: '.*', current: { text: ['All'], value: ['$__all'] } };
}

function choice(
  type: 'custom' | 'interval',
  values: readonly string[],
  chosen: string,
): Pick<VariableModel, 'type' | 'query' | 'options' | 'current'> {
  const options = values.map((value) => ({ text: value, value, selected: value === chosen }));
  return { type, query: values.join(','), options, current: options.find(({ selected }) => selected)! };
}

function text(name: string, label: string, description: string, value: string): VariableModel {
  const option = { text: value, value, selected: true };
  return { name, label, description, type: 'textbox', query: value, options: [option], current: option };
}
