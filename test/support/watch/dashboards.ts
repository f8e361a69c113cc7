import type { Dashboard, Panel, RowPanel } from '@grafana/schema';
import { DASHBOARDS } from '../../../grafana/source/dashboards.js';

/** A dashboard as it ships, and the name of its file. */
export interface Shipped {
  readonly file: string;
  readonly dashboard: Dashboard;
}

/** A query and its place: `overview.json, Blocks in force, A`. */
export interface Asked {
  readonly where: string;
  readonly expr: string;
}

/** All dashboards, as Grafana is given them. */
export function shippedDashboards(): readonly Shipped[] {
  return Object.entries(DASHBOARDS).map(([file, content]) => ({
    file,
    dashboard: JSON.parse(JSON.stringify(content)) as Dashboard,
  }));
}

/** All panels, also those of rows that are shut. */
export function panelsOf({ panels = [] }: Dashboard): readonly Panel[] {
  return panels.flatMap((panel) => (isRow(panel) ? panel.panels : [panel]));
}

export function isRow(panel: Panel | RowPanel): panel is RowPanel {
  return panel.type === 'row';
}

/** All queries of panels and annotations. */
export function queriesOf({ file, dashboard }: Shipped): readonly Asked[] {
  const ofPanels = panelsOf(dashboard).flatMap(({ title, targets = [] }) =>
    targets.map((target) => ({ title, target })),
  );
  const ofAnnotations = (dashboard.annotations?.list ?? []).map(({ name: title, target }) => ({
    title,
    target,
  }));
  return [...ofPanels, ...ofAnnotations].map(({ title, target }) => {
    const { refId, expr } = target as { refId: string; expr: string };
    return { where: `${file}, ${title}, ${refId}`, expr };
  });
}

/** What Grafana itself puts in for, at a range of six hours and a scrape each second. */
const BUILT_IN = { __rate_interval: '1m', __interval: '15s', __range: '6h' };

/** The query as Grafana sends it. @throws where a variable has no value */
export function substituted(expr: string, variables: Readonly<Record<string, string>>): string {
  const values: Readonly<Record<string, string>> = { ...variables, ...BUILT_IN };
  return expr.replace(/\$(?:\{(\w+)(?::\w+)?\}|(\w+))/g, (_, braced?: string, bare?: string) => {
    const name = braced ?? bare!;
    const value = values[name];
    if (value === undefined) throw new Error(`there is no variable ${name}: ${expr}`);
    return value;
  });
}
