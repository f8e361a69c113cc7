import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import test, { describe } from 'node:test';
import { redactedConfig } from '../../../src/config.js';
import { load, problemsOf, RELAY } from './helpers.js';

const ENDPOINT = 'http://collector.test:4318/v1/traces';
const here = (line: string): string => `${RELAY}tracing: { ${line} }\n`;
const OTEL = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector.test:4318/' };

/** What is traced where only the environment says anything of it. */
const standard = (context: TestContext, env: Record<string, string>) =>
  load(context, { yaml: RELAY, env: { ...OTEL, ...env } });

describe('tracing', () => {
  test('tracing is off unless somebody names an endpoint', (context) => {
    assert.equal(load(context, { yaml: RELAY }).config.tracing, undefined);
    const { config, warnings } = load(context, { yaml: here('sample: 1') });
    assert.equal(config.tracing, undefined);
    assert.match(warnings.join('\n'), /^stopgap\.yaml:2:\d+: tracing\.sample: nothing is traced without/);
  });

  test('tracing takes every hundredth transaction and the usual path by default', (context) => {
    const { config } = load(context, { yaml: here('endpoint: http://collector.test:4318') });
    const { headers, ...rest } = config.tracing!;
    assert.deepEqual(rest, { endpoint: ENDPOINT, sample: 0.01, service: 'stopgap' });
    assert.deepEqual(headers, {});
  });

  test('no message and no dump shows the headers of traces', (context) => {
    const yaml = here(`endpoint: ${ENDPOINT}, headers: 'X-Key=a-secret==, x-two = b'`);
    assert.match(problemsOf(context, { yaml }).join('\n'), /tracing\.headers: is no list of headers/);
    assert.doesNotMatch(problemsOf(context, { yaml }).join('\n'), /a-secret/);
    const loaded = load(context, { yaml: yaml.replace('x-two = b', 'x-two=b') });
    assert.deepEqual(loaded.config.tracing!.headers, { 'x-key': 'a-secret==', 'x-two': 'b' });
    for (const dump of [loaded.config, redactedConfig(loaded)])
      assert.doesNotMatch(JSON.stringify(dump), /a-secret/);
  });

  for (const [line, problem] of [
    ['endpoint: collector', /"collector" is no place for traces; use a URL such as http:/],
    ['endpoint: grpc://collector.test:4317', /is no place for traces/],
    [
      'endpoint: http://me:pw-of-mine@collector.test',
      /must not hold a password; put it into tracing\.headers/,
    ],
    ['endpoint: http://collector.test/?key=1', /must have no query/],
    ['sample: 2', /tracing\.sample: "2" is no share; use a number from 0 to 1/],
    ['sample: -0.1', /is no share/],
    ['sample: often', /is no share/],
    ["headers: 'no equals sign'", /is no list of headers/],
  ] as const) {
    test(`tracing refuses ${line}`, (context) => {
      const problems = problemsOf(context, { yaml: here(line) });
      assert.equal(problems.length, 1);
      assert.match(problems[0]!, problem);
      assert.doesNotMatch(problems[0]!, /pw-of-mine/);
    });
  }

  test('tracing warns of the port for gRPC', (context) => {
    const { warnings } = load(context, { yaml: here('endpoint: http://collector.test:4317/v1/traces') });
    assert.match(warnings.join('\n'), /tracing\.endpoint: collectors expect gRPC on port 4317/);
  });
});

describe('the standard variables', () => {
  test('the standard variables name the collector, with the path of traces below the common URL', (context) => {
    assert.equal(standard(context, {}).config.tracing!.endpoint, ENDPOINT);
    const own = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://other.test/otlp' };
    assert.equal(standard(context, own).config.tracing!.endpoint, 'http://other.test/otlp');
  });

  test('the standard variables hold if Stopgap has no setting of its own', (context) => {
    const env = {
      ...OTEL,
      OTEL_SERVICE_NAME: 'mail',
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.5',
    };
    const { tracing } = load(context, { yaml: RELAY, env }).config;
    assert.deepEqual({ ...tracing }, { endpoint: ENDPOINT, sample: 0.5, service: 'mail' });
    const ours = load(context, { yaml: here('endpoint: https://ours.test, sample: 0.1, service: mx'), env });
    assert.deepEqual(
      { ...ours.config.tracing },
      { endpoint: 'https://ours.test/v1/traces', sample: 0.1, service: 'mx' },
    );
  });

  for (const [sampler, share] of [
    ['always_on', 1],
    ['always_off', 0],
    ['parentbased_always_on', 1],
    ['traceidratio', 1],
  ] as const) {
    test(`the standard variables sample as ${sampler} says`, (context) => {
      assert.equal(standard(context, { OTEL_TRACES_SAMPLER: sampler }).config.tracing!.sample, share);
    });
  }

  for (const [name, value] of [
    ['OTEL_SDK_DISABLED', 'true'],
    ['OTEL_TRACES_EXPORTER', 'none'],
  ] as const) {
    test(`${name}=${value} switches tracing off`, (context) => {
      const off = { [name]: value };
      assert.equal(standard(context, off).config.tracing, undefined);
      const { config } = load(context, { yaml: here(`endpoint: ${ENDPOINT}`), env: off });
      assert.equal(config.tracing, undefined);
    });
  }

  for (const [name, value, remedy] of [
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc', /"grpc" is not offered; use http\/json/],
    ['OTEL_TRACES_EXPORTER', 'zipkin', /use otlp, or none/],
    ['OTEL_PROPAGATORS', 'b3', /use tracecontext/],
    ['OTEL_TRACES_SAMPLER', 'jaeger_remote', /use parentbased_traceidratio/],
    ['OTEL_TRACES_SAMPLER_ARG', 'all', /is no share/],
  ] as const) {
    test(`${name}=${value} is refused, because Stopgap does not offer it`, (context) => {
      const env = { ...OTEL, OTEL_TRACES_SAMPLER: 'traceidratio', [name]: value };
      const problems = problemsOf(context, { yaml: RELAY, env });
      assert.equal(problems.length, 1);
      assert.ok(problems[0]!.startsWith(`${name}: `), problems[0]);
      assert.match(problems[0]!, remedy);
    });
  }

  test('a warning names variables about traces that have no effect, if anything is traced', (context) => {
    const env = {
      OTEL_BSP_MAX_QUEUE_SIZE: '9',
      OTEL_EXPORTER_OTLP_TIMEOUT: '9',
      OTEL_METRICS_EXPORTER: 'otlp',
      OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: 'http://logs.test',
      OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a-secret',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
      OTEL_PROPAGATORS: 'baggage,tracecontext',
    };
    const named = standard(context, env).warnings.map((line) => line.split(':')[0]);
    assert.deepEqual(named.sort(), ['OTEL_BSP_MAX_QUEUE_SIZE', 'OTEL_EXPORTER_OTLP_TIMEOUT']);
    assert.deepEqual(load(context, { yaml: RELAY, env: { ...env, OTEL_PROPAGATORS: 'b3' } }).warnings, []);
  });
});
