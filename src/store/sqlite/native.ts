import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const LIBRARY = 'better-sqlite3/build/Release/better_sqlite3.node';
/** What the headers of Node 24.19 and later have an object call when it is collected. */
const CALLED = '28RemoveEnvironmentCleanupHook';

/**
 * Whether SQLite's library was compiled so that it ends the process at some garbage collection. It is where it was
 * compiled with the headers of Node 24.19 or later; what `npm ci` fetches ready-made is compiled with older ones.
 *
 * @param library the file's bytes
 */
export function endsProcess(library: Buffer): boolean {
  return library.includes(CALLED);
}

/** What is wrong with the library that is installed, and what to do about it; undefined where nothing is known to be. */
export function libraryFault(): { readonly detail: string; readonly remedy: string } | undefined {
  if (!process.version.startsWith('v24.')) return undefined;
  if (!endsProcess(readFileSync(createRequire(import.meta.url).resolve(LIBRARY)))) return undefined;
  return {
    detail:
      'SQLite was compiled with the headers of Node 24.19 or later, and may end the process at any time',
    remedy:
      'let npm ci fetch it ready-made, or compile it with headers of 24.18 (npm_config_nodedir): docs/run/install.md',
  };
}
