import { readFile } from 'node:fs/promises';
import { LRUCache } from 'lru-cache';
import { fileFault } from '../accounts/file-fault.js';
import { StopgapError, messageOf } from '../kernel/errors.js';
import type { Kind } from './database.js';
import { GeoDatabase } from './database.js';
import type { GeoPlace } from './place.js';
import { placeIn } from './place.js';

/** Looking into databases costs some microseconds, and a log names the same clients over and over. */
const REMEMBERED = 10_000;

/**
 * Reads the databases as they are now, for a command that ends: nothing is watched.
 *
 * @param files paths; none is fine
 * @param onFault told once, where a record is broken
 * @returns where a client is, by its address in normal form
 * @throws StopgapError naming the file that is missing, broken or of the wrong kind
 */
export async function readPlaces(
  files: { readonly [Each in Kind]: string | undefined },
  onFault: (error: unknown) => void,
): Promise<(ip: string) => GeoPlace> {
  const [country, asn] = [await read('country', files.country), await read('asn', files.asn)];
  const known = new LRUCache<string, GeoPlace>({ max: REMEMBERED });
  let failed = false;
  const fail = (error: unknown): void => {
    if (!failed) onFault(error);
    failed = true;
  };
  return (ip) => {
    let place = known.get(ip);
    if (place === undefined) known.set(ip, (place = placeIn({ country, asn }, ip, fail)));
    return place;
  };
}

async function read(kind: Kind, file: string | undefined): Promise<GeoDatabase | undefined> {
  if (file === undefined) return undefined;
  try {
    return new GeoDatabase(await readFile(file), kind);
  } catch (error) {
    const isSystems = (error as NodeJS.ErrnoException).syscall !== undefined;
    const what = isSystems ? fileFault(error, 'name another, or leave it out') : messageOf(error);
    throw new StopgapError('invalid-input', `geoip.${kind}: ${file}: ${what}`);
  }
}
