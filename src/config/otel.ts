import type { RawSettings } from './raw.js';
import { TRACES_PATH } from './tracing.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** What the exporter and the resource detector of the SDK read for themselves. */
const READ_BY_THE_SDK =
  /^OTEL_(RESOURCE_ATTRIBUTES|EXPORTER_OTLP_(TRACES_)?(HEADERS|COMPRESSION|CERTIFICATE|CLIENT_KEY|CLIENT_CERTIFICATE))$/;
/** What is read below. */
const READ_HERE =
  /^OTEL_(SDK_DISABLED|SERVICE_NAME|PROPAGATORS|TRACES_EXPORTER|TRACES_SAMPLER(_ARG)?|EXPORTER_OTLP_(TRACES_)?(ENDPOINT|PROTOCOL))$/;
/** What is about traces. The rest, such as OTEL_METRICS_EXPORTER, is for others. */
const ABOUT_TRACES =
  /^OTEL_(TRACES_|BSP_|SPAN_|ATTRIBUTE_|LINK_|EVENT_|EXPORTER_OTLP_(?!METRICS_|LOGS_)|PROPAGATORS|RESOURCE_|SERVICE_|SDK_)/;

/**
 * Lays the standard variables of OpenTelemetry under our own settings: they hold where neither the file nor a variable
 * of ours says anything. What they ask for and cannot have is a problem, what is not heeded a warning; both only where
 * traces are sent at all.
 *
 * @returns warnings
 */
export function readOpenTelemetry(raw: RawSettings, env: Environment): readonly string[] {
  const given = (name: string): string | undefined => env[name]?.trim() || undefined;
  const first = (...names: readonly string[]): string | undefined => names.find((name) => given(name));
  const put = (key: string, name: string | undefined, value: unknown): void => {
    if (name !== undefined && !raw.values.has(key)) raw.values.set(key, { value, where: name, base: '' });
  };
  const refuse = (name: string | undefined, allowed: RegExp, remedy: string): void => {
    const value = name && given(name);
    if (value && !allowed.test(value.toLowerCase()))
      raw.problems.push(`${name}: "${value}" is not offered; ${remedy}`);
  };

  const own = first('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT');
  const shared = first('OTEL_EXPORTER_OTLP_ENDPOINT');
  put('tracing.endpoint', own, own && given(own));
  // The one that all signals share names the collector; below it each has a path of its own.
  put('tracing.endpoint', shared, shared && given(shared)!.replace(/(?<!\/)\/+$/, '') + TRACES_PATH);
  const off =
    given('OTEL_SDK_DISABLED')?.toLowerCase() === 'true' || given('OTEL_TRACES_EXPORTER') === 'none';
  if (off) raw.values.delete('tracing.endpoint');
  if (!raw.values.has('tracing.endpoint')) return [];

  refuse('OTEL_TRACES_EXPORTER', /^otlp$/, 'use otlp, or none to trace nothing');
  refuse(
    first('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'),
    /^http\/json$/,
    'use http/json, which collectors take on the port of http/protobuf',
  );
  refuse('OTEL_PROPAGATORS', /(^|,)\s*tracecontext\s*(,|$)/, 'use tracecontext');
  refuse(
    'OTEL_TRACES_SAMPLER',
    /^(parentbased_)?(always_on|always_off|traceidratio)$/,
    'use parentbased_traceidratio, always_on or always_off',
  );
  put('tracing.service', first('OTEL_SERVICE_NAME'), given('OTEL_SERVICE_NAME'));
  const sampler = first('OTEL_TRACES_SAMPLER');
  const kind = sampler && given(sampler)!.toLowerCase().replace('parentbased_', '');
  if (kind === 'always_on') put('tracing.sample', sampler, 1);
  if (kind === 'always_off') put('tracing.sample', sampler, 0);
  if (kind === 'traceidratio') {
    const share = given('OTEL_TRACES_SAMPLER_ARG');
    put('tracing.sample', share === undefined ? sampler : 'OTEL_TRACES_SAMPLER_ARG', share ?? 1);
  }
  return Object.keys(env)
    .filter((name) => ABOUT_TRACES.test(name) && !READ_BY_THE_SDK.test(name) && !READ_HERE.test(name))
    .filter((name) => given(name) !== undefined)
    .map((name) => `${name}: is not heeded; docs/inside/tracing.md says what is`);
}
