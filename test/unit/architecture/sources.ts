import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../..');

export interface Text {
  /** From the root of the repository, with `/`: `src/blocks/decide.ts`. */
  readonly file: string;
  readonly text: string;
}

const read = new Map<string, readonly Text[]>();

/** Every TypeScript file under these folders, the page's components too. */
export function texts(...folders: readonly string[]): readonly Text[] {
  return folders.flatMap((folder) => {
    let all = read.get(folder);
    if (all === undefined)
      read.set(
        folder,
        (all = readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })
          .filter((name) => /\.tsx?$/.test(name))
          .map((name) => {
            const file = path.posix.join(folder, name.replaceAll(path.sep, '/'));
            return { file, text: readFileSync(path.join(ROOT, file), 'utf8') };
          })),
      );
    return all;
  });
}
