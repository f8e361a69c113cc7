import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import Database from 'better-sqlite3';
import { messageOf } from '../../kernel/errors.js';
import { StoreRefused } from '../port.js';

const LIBRARY = 'better-sqlite3/build/Release/better_sqlite3.node';
/** What the headers of Node 24.19 and later have an object call when it is collected. */
const CALLED = '28RemoveEnvironmentCleanupHook';

export interface LibraryFault {
  readonly detail: string;
  readonly remedy: string;
}

/** Why SQLite cannot be used at all: its library is missing, broken or of another Node.js. Undefined if it can. */
export function loadFault(): LibraryFault | undefined {
  try {
    new Database(':memory:').close();
    return undefined;
  } catch (error) {
    // After this come all the places where it was looked for.
    const why = messageOf(error).split(' Tried:')[0]!.replaceAll('\n', ' ');
    return {
      detail: `SQLite cannot be loaded (${why})`,
      remedy: 'install with npm ci for this Node.js and machine',
    };
  }
}

/** Before a file is opened: a fault of the library is none of the file. @throws StoreRefused */
export function refuseUnloadable(): void {
  const fault = loadFault();
  if (fault !== undefined) throw new StoreRefused(`${fault.detail}; ${fault.remedy}`);
}

/**
 * Whether SQLite's library was compiled so that it ends the process at some garbage collection. It was if it was
 * compiled with the headers of Node 24.19 or later; the binary that `npm ci` fetches is compiled with older ones.
 *
 * @param library the file's bytes
 */
export function endsProcess(library: Buffer): boolean {
  return library.includes(CALLED);
}

/** What is wrong with the library that is loaded, and what to do about it; undefined if nothing is known to be. */
export function libraryFault(): LibraryFault | undefined {
  if (!process.version.startsWith('v24.') || loadFault() !== undefined) return undefined;
  if (!endsProcess(readFileSync(createRequire(import.meta.url).resolve(LIBRARY)))) return undefined;
  return {
    detail:
      'SQLite was compiled with the headers of Node 24.19 or later, and may end the process at any time',
    remedy:
      'let npm ci fetch it ready-made, or compile it with headers of 24.18 (npm_config_nodedir): docs/run/install.md',
  };
}
