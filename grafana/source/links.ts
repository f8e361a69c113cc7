import type { DashboardLink } from '@grafana/schema';
import type { DataLink } from './schema.js';

/** What the dashboards have in common, by which they find each other. */
export const TAG = 'stopgap';

/** To the other dashboards, with the same time range and variables. */
export const OTHER_DASHBOARDS: DashboardLink = {
  ...frame('Stopgap', 'The other dashboards of Stopgap'),
  type: 'dashboards',
  tags: [TAG],
  includeVars: true,
  keepTime: true,
  targetBlank: false,
};

/** A page of the API, under the address that is chosen at the top. Most want a token, see docs/reference/dashboards.md. */
export function apiLink(title: string, path: `/${string}`): DashboardLink {
  return { ...frame(title, `GET ${path}`), url: `\${api}${path}` };
}

/** The same behind a value; `path` may name `${__value.text}` or `${__data.fields.…}`. */
export function apiDataLink(title: string, path: `/${string}`): DataLink {
  return { title, url: `\${api}${path}`, targetBlank: true };
}

/** A file of this repository, under the address that is chosen at the top. */
export function docsLink(title: string, path: string): DashboardLink {
  return { ...frame(title, path), url: `\${docs}${path}` };
}

/** What to do about an alert, for a description. */
export function runbook(alert: `Stopgap${string}`): string {
  return `[${alert}](\${docs}docs/run/incidents.md#${alert})`;
}

/** The same behind the name of an alert. */
export const RUNBOOK: DataLink = {
  title: 'What to do: ${__value.text}',
  url: '${docs}docs/run/incidents.md#${__value.text}',
  targetBlank: true,
};

function frame(title: string, tooltip: string): DashboardLink {
  return {
    title,
    type: 'link',
    icon: 'external link',
    tooltip,
    tags: [],
    asDropdown: false,
    targetBlank: true,
    includeVars: false,
    keepTime: false,
  };
}
