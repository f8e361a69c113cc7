import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** All that decides what events are folded into, seen from the folder of this program that holds `src`. */
export const FOLDING: readonly string[] = [
  ...['projections', 'src/blocks', 'src/kernel', 'src/overrides', 'src/rules', 'src/sending'],
  ...['src/detector/projector.js', 'src/detector/read-models.js'],
];

/**
 * Names the code that folds, as SHA-256 of its files: what another version has folded is no start for this one, be it
 * laid out differently or just counted differently.
 */
export async function foldingFingerprint(): Promise<string> {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const hash = createHash('sha256');
  for (const entry of FOLDING) {
    const found = entry.endsWith('.js') ? [entry] : await scripts(root, entry);
    for (const file of found) hash.update(`${file}\n`).update(await readFile(path.join(root, file)));
  }
  return hash.digest('hex');
}

async function scripts(root: string, folder: string): Promise<readonly string[]> {
  const names = await readdir(path.join(root, folder), { recursive: true });
  return names
    .filter((name) => name.endsWith('.js'))
    .sort()
    .map((name) => `${folder}/${name}`);
}
