import type { Dashboard } from '@grafana/schema';
import { format, resolveConfig } from 'prettier';

/** Where the dashboards lie: in the repository, not beside what tsc makes of this. */
export const FOLDER = new URL('../../../grafana/dashboards/', import.meta.url);

/** What stands in a file: formatted as everything here is. */
export async function rendered(content: Dashboard, file: URL): Promise<string> {
  return format(JSON.stringify(content), { ...(await resolveConfig(file)), parser: 'json' });
}
