import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { DASHBOARDS } from './source/dashboards.js';
import { FOLDER, rendered } from './source/rendered.js';

/* Writes grafana/dashboards/*.json: npm run dashboards */
const write = async (file: URL, text: string): Promise<void> => {
  await writeFile(file, text);
  process.stdout.write(`${fileURLToPath(file)}\n`);
};

await mkdir(FOLDER, { recursive: true });
for (const [name, content] of Object.entries(DASHBOARDS)) {
  const file = new URL(name, FOLDER);
  await write(file, await rendered(content, file));
}
