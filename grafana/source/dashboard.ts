import type { Dashboard, Panel, RowPanel, VariableModel } from '@grafana/schema';
import { DashboardCursorSync } from '@grafana/schema';
import { OTHER_DASHBOARDS, TAG, apiLink, docsLink } from './links.js';
import type { Unplaced } from './panels.js';
import type { PrometheusAnnotation } from './schema.js';

/** The last version of this form of dashboards; newer Grafanas read it as it is. */
const SCHEMA_VERSION = 42;
const GRID_WIDTH = 24;

export interface Row {
  readonly title: string;
  /** Shown once somebody opens it. */
  readonly collapsed?: boolean;
  readonly panels: readonly Unplaced[];
}

export interface Content {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  /** How far back it looks before anybody chooses: `now-6h`. */
  readonly from: string;
  readonly variables: readonly VariableModel[];
  readonly annotations: readonly PrometheusAnnotation[];
  readonly rows: readonly Row[];
}

/** A whole dashboard, as it is imported. */
export function dashboard(content: Content): Dashboard {
  const { uid, title, description, from, variables, annotations, rows } = content;
  return {
    uid,
    title,
    description,
    tags: [TAG],
    schemaVersion: SCHEMA_VERSION,
    editable: true,
    graphTooltip: DashboardCursorSync.Crosshair,
    timezone: 'browser',
    time: { from, to: 'now' },
    refresh: '30s',
    links: [
      OTHER_DASHBOARDS,
      apiLink('Health', '/healthz'),
      docsLink('How to read this', 'docs/reference/dashboards.md'),
    ],
    templating: { list: [...variables] },
    annotations: { list: [...annotations] },
    panels: placed(rows),
  };
}

/** Panels from left to right, line by line; each row below the one before. Numbers follow the order. */
function placed(rows: readonly Row[]): (Panel | RowPanel)[] {
  const all: (Panel | RowPanel)[] = [];
  let id = 0;
  let y = 0;
  for (const { title, panels, collapsed = false } of rows) {
    const row = { type: 'row' as const, id: ++id, title, collapsed };
    const top = y++;
    let x = 0;
    let height = 0;
    const within = panels.map((panel): Panel => {
      const { w, h } = panel.gridPos;
      if (x + w > GRID_WIDTH) [x, y, height] = [0, y + height, 0];
      const at = { x, y, w, h };
      x += w;
      height = Math.max(height, h);
      return asPanel({ ...panel, id: ++id, gridPos: at });
    });
    y = collapsed ? top + 1 : y + height;
    all.push({ ...row, gridPos: { x: 0, y: top, w: GRID_WIDTH, h: 1 }, panels: collapsed ? within : [] });
    if (!collapsed) all.push(...within);
  }
  return all;
}

/** Grafana's own type says less of options and queries than ours. */
function asPanel(panel: Omit<Unplaced, 'gridPos'> & Pick<Panel, 'gridPos' | 'id'>): Panel {
  return panel as unknown as Panel;
}
