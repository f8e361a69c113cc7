import type { KnownPlaces } from '../rules/places.js';
import type { Config } from './types.js';

/** What is known of where clients are. Only who takes mail looks there: what other processes know, this one cannot tell. */
export function knownPlaces({ roles, geoip }: Pick<Config, 'roles' | 'geoip'>): KnownPlaces {
  const elsewhere = !roles.includes('smtp');
  return {
    country: elsewhere || geoip.country !== undefined,
    asn: elsewhere || geoip.asn !== undefined,
  };
}
