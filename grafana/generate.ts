import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { DASHBOARDS } from './source/dashboards.js';
import { FOLDER, rendered } from './source/rendered.js';

/*
 * Writes grafana/dashboards/*.json: npm run dashboards
 */
await mkdir(FOLDER, { recursive: true });
for (const [name, content] of Object.entries(DASHBOARDS)) {
  const file = new URL(name, FOLDER);
  await writeFile(file, await rendered(content, file));
  process.stdout.write(`${fileURLToPath(file)}\n`);
}
