import type { GeoData } from '../rules/explain.js';
import type { Config } from './types.js';

/** What is known of where clients are. Only who takes mail looks there: what other processes know, this one cannot tell. */
export function geoDataOf({ roles, geoip }: Pick<Config, 'roles' | 'geoip'>): GeoData {
  const elsewhere = !roles.includes('smtp');
  return {
    country: elsewhere || geoip.country !== undefined,
    asn: elsewhere || geoip.asn !== undefined,
  };
}
