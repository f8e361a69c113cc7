import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { DASHBOARDS } from './source/dashboards.js';

/* Writes the dashboards as Grafana reads them, into a folder: npm run dashboards [FOLDER] */
const folder = path.resolve(process.argv[2] ?? 'grafana/dashboards');

mkdirSync(folder, { recursive: true });
for (const [name, content] of Object.entries(DASHBOARDS)) {
  const file = path.join(folder, name);
  writeFileSync(file, `${JSON.stringify(content, null, 2)}\n`);
  process.stdout.write(`${file}\n`);
}
