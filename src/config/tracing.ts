import type { RawSettings } from './raw.js';
import type { TracingSettings } from './types.js';
import type { Parser } from './values.js';
import { asText, shown, WrongValue } from './values.js';

/** Where OTLP over HTTP has traces, below what names the collector as a whole. */
export const TRACES_PATH = '/v1/traces';
const ENDPOINT_FORM = 'use a URL such as http://127.0.0.1:4318/v1/traces';
/** Every hundredth transaction: enough to see how the machine is, too little to cost anything. */
const DEFAULT_SAMPLE = 0.01;
const DEFAULT_SERVICE = 'stopgap';

/** Where traces go. Without a path the usual one is meant. Secrets belong into headers: a URL is shown. */
const asTracesEndpoint: Parser<string> = (raw) => {
  const url = typeof raw === 'string' && URL.canParse(raw) ? new URL(raw) : undefined;
  if (url === undefined || !['http:', 'https:'].includes(url.protocol)) {
    throw new WrongValue(`${shown(raw)} is no place for traces; ${ENDPOINT_FORM}`);
  }
  if (url.username !== '' || url.password !== '') {
    throw new WrongValue('must not hold a password; put it into tracing.headers');
  }
  if (url.search !== '' || url.hash !== '') {
    throw new WrongValue(`must have no query and no fragment; ${ENDPOINT_FORM}`);
  }
  if (url.pathname === '/') url.pathname = TRACES_PATH;
  return url.href;
};

/** A share from 0 (nothing) to 1 (everything). */
const asShare: Parser<number> = (raw) => {
  const share = typeof raw === 'string' && /^(?:\d+|\d*\.\d+)$/.test(raw) ? Number(raw) : raw;
  if (typeof share !== 'number' || !(share >= 0 && share <= 1)) {
    throw new WrongValue(`${shown(raw)} is no share; use a number from 0 to 1 such as 0.01`);
  }
  return share;
};

/** RFC 9110 section 5.6.2. */
const HEADER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([\x20-\x7e]+)$/;

/** `name=value`, several with commas, as OTEL_EXPORTER_OTLP_HEADERS has them. Errors never repeat a value. */
const asHeaders: Parser<Readonly<Record<string, string>>> = (raw, base) => {
  const headers: Record<string, string> = {};
  for (const entry of asText(raw, base).split(',')) {
    const [, name, value] = HEADER.exec(entry.trim()) ?? [];
    if (name === undefined || value === undefined) {
      throw new WrongValue('is no list of headers; use name=value, several with commas');
    }
    headers[name.toLowerCase()] = value.trim();
  }
  return headers;
};

type Read = <T, F extends T | undefined>(key: string, parse: Parser<T>, fallback: F) => T | F;

/** Undefined without an endpoint: then nothing is traced. Headers may hold a secret: they are not enumerable. */
export function buildTracing(read: Read): TracingSettings | undefined {
  const endpoint = read('tracing.endpoint', asTracesEndpoint, undefined);
  const settings = {
    sample: read('tracing.sample', asShare, DEFAULT_SAMPLE),
    service: read('tracing.service', asText, DEFAULT_SERVICE),
  };
  const headers = read('tracing.headers', asHeaders, {});
  if (endpoint === undefined) return undefined;
  const tracing = { endpoint, ...settings };
  return Object.defineProperty(tracing, 'headers', { value: headers, enumerable: false }) as TracingSettings;
}

/** What would be done without a word, and is not. */
export function tracingWarnings(raw: RawSettings, tracing: TracingSettings | undefined): readonly string[] {
  const warnings: string[] = [];
  for (const key of ['tracing.sample', 'tracing.service', 'tracing.headers']) {
    const where = raw.values.get(key)?.where;
    if (tracing === undefined && where?.startsWith('OTEL_') === false)
      warnings.push(`${where}: nothing is traced without tracing.endpoint`);
  }
  if (tracing !== undefined && new URL(tracing.endpoint).port === '4317') {
    const where = raw.values.get('tracing.endpoint')!.where;
    warnings.push(`${where}: collectors expect gRPC on port 4317, which is not spoken here; HTTP is on 4318`);
  }
  return warnings;
}
