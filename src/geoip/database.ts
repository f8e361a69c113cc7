import { LRUCache } from 'lru-cache';
import type { CityResponse, IspResponse, Response } from 'mmdb-lib';
import { Reader } from 'mmdb-lib';
import { messageOf, StopgapError } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import { isPrivateIp } from '../sending/identity.js';
import { bounded } from './bounded.js';

/*
 * One database in MaxMind's format (MaxMind DB File Format Specification, version 2.0). The library reads the tree
 * and its records; what it takes on trust is checked here first, so that no look-up can fail on the way of a message.
 */

/** What a database is asked for. */
export type Kind = 'country' | 'asn';

const KINDS: Readonly<Record<Kind, { readonly types: RegExp; readonly example: string }>> = {
  country: { types: /country|city|enterprise/i, example: 'one of countries, such as GeoLite2-Country.mmdb' },
  asn: { types: /asn|isp|enterprise/i, example: 'one of autonomous systems, such as GeoLite2-ASN.mmdb' },
};

/** The marker before the metadata, which end the file. */
const METADATA_MARK = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
/** Zero bytes between the tree and the records. */
const SEPARATOR = 16;
/** Records kept decoded: there are some hundred countries, and most clients come from a few thousand networks. */
const MOST_DECODED = 4096;

export class GeoDatabase {
  /** `GeoLite2-Country` and its like. */
  readonly type: string;
  readonly builtAt: Instant;
  readonly #reader: Reader<Response>;
  readonly #kind: Kind;

  /** @throws StopgapError that says what is wrong with these bytes, without the file's name */
  constructor(bytes: Buffer, kind: Kind) {
    const mark = bytes.lastIndexOf(METADATA_MARK);
    if (mark < 0) throw unusable('is no MaxMind database, or only a part of one');
    const cache = new LRUCache<number | string, object>({ max: MOST_DECODED });
    let reader: Reader<Response>;
    try {
      const kept = {
        get: (key: number | string) => cache.get(key),
        set: (key: number | string, value: unknown) => void cache.set(key, value as object),
      };
      reader = bounded(() => new Reader<Response>(bytes, { cache: kept }));
    } catch (error) {
      throw unusable(`is a broken MaxMind database (${messageOf(error)})`);
    }
    const { databaseType, buildEpoch, nodeCount, searchTreeSize, ipVersion, binaryFormatMajorVersion } =
      reader.metadata;
    const isWhole =
      binaryFormatMajorVersion === 2 &&
      [4, 6].includes(ipVersion) &&
      nodeCount > 0 &&
      searchTreeSize + SEPARATOR <= mark &&
      bytes.subarray(searchTreeSize, searchTreeSize + SEPARATOR).every((byte) => byte === 0) &&
      typeof databaseType === 'string' &&
      !Number.isNaN(buildEpoch.getTime());
    if (!isWhole) throw unusable('is a broken MaxMind database: its tree and its metadata do not fit');
    const { types, example } = KINDS[kind];
    if (!types.test(databaseType)) throw unusable(`is a database of type ${databaseType}; name ${example}`);
    this.type = databaseType;
    this.builtAt = buildEpoch.getTime();
    this.#reader = reader;
    this.#kind = kind;
    this.#probe();
  }

  /**
   * What the database knows of an address in normal form; undefined if it knows nothing. Takes some microseconds.
   *
   * @throws Error if the record is broken or too large
   */
  find(ip: string): string | number | undefined {
    // An IPv4 tree would be walked with the first bits of an IPv6 address.
    if (this.#reader.metadata.ipVersion === 4 && ip.includes(':')) return undefined;
    const record = bounded(() => this.#reader.get(ip));
    if (record === null) return undefined;
    return this.#kind === 'country' ? countryOf(record as CityResponse) : asnOf(record as IspResponse);
  }

  /** Records all over the tree can be read. */
  #probe(): void {
    try {
      for (let first = 1; first < 224; first += 3) this.find(`${first}.1.1.1`);
    } catch (error) {
      throw unusable(`is a broken MaxMind database (${messageOf(error)})`);
    }
  }
}

/** The country of a network, or its country of registration if it has no location. */
function countryOf({ country, registered_country: registered }: CityResponse): string | undefined {
  const code: unknown = country?.iso_code ?? registered?.iso_code;
  return typeof code === 'string' && /^[A-Z]{2}$/.test(code) ? code : undefined;
}

function asnOf(record: IspResponse & { readonly traits?: Partial<IspResponse> }): number | undefined {
  const asn: unknown = record.autonomous_system_number ?? record.traits?.autonomous_system_number;
  return Number.isSafeInteger(asn) && (asn as number) > 0 ? (asn as number) : undefined;
}

function unusable(reason: string): StopgapError {
  return new StopgapError('invalid-input', reason);
}

/** The place of a client, as far as it is known. */
export interface GeoPlace {
  /** ISO 3166-1 alpha-2. */
  readonly country?: string;
  /** Number of the autonomous system. */
  readonly asn?: number;
}

/** The databases there are. */
type Databases = { readonly [Each in Kind]?: Pick<GeoDatabase, 'find'> | undefined };

const NOWHERE: GeoPlace = {};

/**
 * @param ip in normal form. Private and loopback addresses are nowhere.
 * @param onFault told of a record that cannot be read: it says nothing of its client, and must not stop its mail
 */
export function placeIn(databases: Databases, ip: string, onFault: (error: unknown) => void): GeoPlace {
  const { country, asn } = databases;
  if ((country === undefined && asn === undefined) || isPrivateIp(ip)) return NOWHERE;
  const find = (database: Databases[Kind]): string | number | undefined => {
    try {
      return database?.find(ip);
    } catch (error) {
      onFault(error);
      return undefined;
    }
  };
  const [where, whose] = [find(country), find(asn)];
  return {
    ...(typeof where === 'string' ? { country: where } : {}),
    ...(typeof whose === 'number' ? { asn: whose } : {}),
  };
}
