import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { fileFault } from '../accounts/private-file.js';
import { WatchedFile } from '../accounts/watched-file.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { DAY, formatInstant, SECOND } from '../kernel/time.js';
import type { RulesMetrics } from '../metrics/metrics.js';
import type { GeoPlace, Kind } from './database.js';
import { GeoDatabase, placeIn } from './database.js';
import { recentlyUsed } from '../runtime/recently-used.js';

/** Networks change hands: from this age on a database tells more and more that is wrong. */
export const OLD: Milliseconds = 60 * DAY;
const LOOK_EVERY: Milliseconds = 10 * SECOND;

export interface GeoipOptions {
  /** Paths; none is fine. */
  readonly files: { readonly [Each in Kind]: string | undefined };
  readonly clock: AlarmClock;
  readonly log: Logger;
  readonly metrics: Pick<RulesMetrics, 'fileRefused'>;
}

/**
 * Tells where clients are, from databases that the operator supplies. They are in memory; a file that is replaced is
 * read again within seconds, and one that cannot be used is refused while the old one goes on.
 */
export class Geoip {
  readonly #options: GeoipOptions;
  readonly #databases: Partial<Record<Kind, WatchedFile<GeoDatabase>>> = {};
  #cancelLook = (): void => undefined;
  #failed = false;

  readonly #onFault = (error: unknown): void => {
    if (!this.#failed) {
      this.#options.log.error({ error: messageOf(error) }, 'a database of places has a broken record');
    }
    this.#failed = true;
  };

  private constructor(options: GeoipOptions) {
    this.#options = options;
  }

  /** Reads the databases. @throws StopgapError naming the file that is missing, broken or of the wrong kind */
  static async open(options: GeoipOptions): Promise<Geoip> {
    const geoip = new Geoip(options);
    for (const kind of ['country', 'asn'] as const) {
      const file = options.files[kind];
      if (file !== undefined) geoip.#databases[kind] = await geoip.#watch(kind, file);
    }
    geoip.#lookAtAges();
    return geoip;
  }

  /** @param ip in normal form. Private and loopback addresses are nowhere. */
  readonly placeOf = (ip: string): GeoPlace => {
    const { country, asn } = this.#databases;
    return placeIn({ country: country?.current, asn: asn?.current }, ip, this.#onFault);
  };

  start(): void {
    for (const database of Object.values(this.#databases)) database.start();
  }

  stop(): void {
    for (const database of Object.values(this.#databases)) database.stop();
    this.#cancelLook();
  }

  /** Looks at the files now. */
  async check(): Promise<void> {
    for (const database of Object.values(this.#databases)) await database.check();
  }

  async #watch(kind: Kind, path: string): Promise<WatchedFile<GeoDatabase>> {
    const { log, metrics } = this.#options;
    const watched = new WatchedFile<GeoDatabase>({
      path,
      parseBytes: (bytes) => new GeoDatabase(bytes, kind),
      interval: LOOK_EVERY,
      onChange: ({ type, builtAt }) => {
        this.#failed = false;
        log.info({ kind, type, builtAt: formatInstant(builtAt) }, 'a database of places was read again');
        this.#lookAtAges();
      },
      onRefused: (faults) => {
        metrics.fileRefused('geoip');
        log.error({ what: 'geoip', faults }, 'a file was refused; what was in force stays');
      },
      onRestored: () =>
        log.info({ what: 'geoip' }, 'a file that was refused can be used again, and is what is in force'),
    });
    try {
      return await watched.load();
    } catch (error) {
      throw new StopgapError('invalid-input', `geoip.${kind}: ${path}: ${messageOf(error)}`);
    }
  }

  /** Says which are too old, now and every day. */
  #lookAtAges(): void {
    const { clock, log } = this.#options;
    const now = clock.now();
    for (const [kind, database] of Object.entries(this.#databases)) {
      const { builtAt } = database.current;
      if (now - builtAt <= OLD) continue;
      const days = Math.floor((now - builtAt) / DAY);
      log.warn(
        { kind, builtAt: formatInstant(builtAt), days },
        'a database of places is old: get a newer one',
      );
    }
    this.#cancelLook();
    this.#cancelLook = clock.after(DAY, () => this.#lookAtAges());
  }
}

/** Looking into databases costs some microseconds, and a log names the same clients over and over. */
const REMEMBERED = 10_000;

/**
 * Reads the databases as they are now, for a command that ends: nothing is watched.
 *
 * @param files paths; none is fine
 * @param onFault called once if a record is broken
 * @returns the place of a client, by its address in normal form
 * @throws StopgapError naming the file that is missing, broken or of the wrong kind
 */
export async function readPlaces(
  files: { readonly [Each in Kind]: string | undefined },
  onFault: (error: unknown) => void,
): Promise<(ip: string) => GeoPlace> {
  const [country, asn] = [await read('country', files.country), await read('asn', files.asn)];
  const known = recentlyUsed<string, GeoPlace>(REMEMBERED);
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
