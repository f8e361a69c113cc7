import { isPrivateIp } from '../sending/identity.js';
import type { GeoDatabase, Kind } from './database.js';

/** Where a client is, as far as is known. */
export interface GeoPlace {
  /** ISO 3166-1 alpha-2. */
  readonly country?: string;
  /** Number of the autonomous system. */
  readonly asn?: number;
}

/** The databases there are. */
export type Databases = { readonly [Each in Kind]?: Pick<GeoDatabase, 'find'> | undefined };

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
