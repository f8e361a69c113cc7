import type { Dashboard } from '@grafana/schema';
import { format, resolveConfig } from 'prettier';

const REPOSITORY = new URL('../../../', import.meta.url);
/** Where the dashboards lie: in the repository, not beside what tsc makes of this. */
export const FOLDER = new URL('grafana/dashboards/', REPOSITORY);

/** What stands in the file of a dashboard: formatted as everything here is. */
export async function rendered(content: Dashboard, file: URL): Promise<string> {
  return format(JSON.stringify(content), { ...(await resolveConfig(file)), parser: 'json' });
}
