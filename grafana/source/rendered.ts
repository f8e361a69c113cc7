import type { Dashboard } from '@grafana/schema';
import { format, resolveConfig } from 'prettier';
import { panelsByRow } from './dashboard.js';

const REPOSITORY = new URL('../../../', import.meta.url);
/** Where the dashboards lie: in the repository, not beside what tsc makes of this. */
export const FOLDER = new URL('grafana/dashboards/', REPOSITORY);
/** The page that describes them. */
export const PAGE = new URL('docs/reference/dashboards.md', REPOSITORY);

/** Between these stands in the page what is made from the dashboards. */
const GENERATED = /(<!-- npm run dashboards writes from here -->)[^]*(<!-- to here -->)/;

/** What stands in the file of a dashboard: formatted as everything here is. */
export async function rendered(content: Dashboard, file: URL): Promise<string> {
  return format(JSON.stringify(content), { ...(await resolveConfig(file)), parser: 'json' });
}

/** The page with a table of the panels of each dashboard. @throws where it has no place for them */
export async function described(
  dashboards: Readonly<Record<string, Dashboard>>,
  page: string,
): Promise<string> {
  if (!GENERATED.test(page)) throw new Error(`docs/reference/dashboards.md has no place for the panels: ${GENERATED}`);
  const all = Object.values(dashboards).map(section).join('\n\n');
  const text = page.replace(GENERATED, (_, from: string, to: string) => `${from}\n\n${all}\n\n${to}`);
  return format(text, { ...(await resolveConfig(PAGE)), parser: 'markdown' });
}

function section(dashboard: Dashboard): string {
  const { title = '', description = '' } = dashboard;
  const rows = panelsByRow(dashboard).map(
    ({ title: question, panels }) =>
      `#### ${question}\n\n| panel | what it shows, and what to do |\n| --- | --- |\n${panels.map(line).join('\n')}`,
  );
  return [
    `### ${title.replace(/^Stopgap: (.)/, (_, first: string) => first.toUpperCase())}`,
    description,
    ...rows,
  ].join('\n\n');
}

function line({ title = '', description = '' }: { title?: string; description?: string }): string {
  // Beside the page, not under an address that is chosen at the top of a dashboard.
  const here = description.replaceAll('${docs}docs/', '../');
  return `| ${title} | ${here.replaceAll('|', '\\|')} |`;
}
