import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { BlockCommandHandler } from '../../../src/commands/block-commands.js';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { tracedStore } from '../../../src/tracing/tracing.js';
import { ApiServer } from '../../support/api/server.js';
import { TRACE } from '../../support/store/events.js';
import type { Recorded } from '../../support/tracing/recorded.js';
import { recordedTracing } from '../../support/tracing/recorded.js';

const BLOCKS = '/api/v1/blocks';
const UNSAMPLED = TRACE.replace(/01$/, '00');
const wish = (name: string) => ({
  subject: { type: 'account', value: `${name}@example.com` },
  direction: 'all',
  description: 'by a test',
  duration: '1h',
});

/** An API that traces nothing by chance: every trace has another reason. */
async function start(t: TestContext): Promise<Recorded & { readonly server: ApiServer }> {
  const recorded = recordedTracing(0);
  const { tracing } = recorded;
  const server = await ApiServer.start((deps) => {
    const store = tracedStore(deps.store, tracing);
    const blockCommands = new BlockCommandHandler(store, deps.clock, undefined, tracing);
    return {
      ...deps,
      tracing,
      store,
      blockCommands,
      rulesCommands: new RulesCommandHandler(store, deps.clock),
    };
  });
  t.after(() => server.stop());
  return { ...recorded, server };
}

const traceOf = (recorded: Recorded, name: string): string => recorded.one(name).spanContext().traceId;

describe('requests', () => {
  test('join the trace of their caller, and what they bring about does too', async (t) => {
    const api = await start(t);
    const headers = { traceparent: TRACE, 'x-request-id': 'r-1' };
    const { status, json } = await api.server.post(BLOCKS, wish('joined'), { headers });
    assert.equal(status, 201);
    const request = api.one(`POST ${BLOCKS}`);
    assert.equal(request.parentSpanContext!.spanId, TRACE.slice(36, 52));
    assert.deepEqual(request.attributes, {
      'http.request.method': 'POST',
      'http.route': BLOCKS,
      'http.response.status_code': 201,
      'stopgap.correlation': 'request:r-1',
    });
    const command = api.one('command impose');
    assert.equal(command.parentSpanContext!.spanId, request.spanContext().spanId);
    assert.equal(command.attributes['stopgap.block'], json.id);
    assert.equal(traceOf(api, 'store append'), TRACE.slice(3, 35));
    const traces: (string | undefined)[] = [];
    for await (const { trace } of api.server.deps.store.readStream('block-account:joined@example.com'))
      traces.push(trace);
    assert.deepEqual(traces, [`00-${TRACE.slice(3, 35)}-${command.spanContext().spanId}-01`]);
  });

  test('that decide are traced without one too, and point to what they undo', async (t) => {
    const api = await start(t);
    const { json } = await api.server.post(BLOCKS, wish('undone'));
    await api.server.post(`${BLOCKS}/${json.id}/release`, {});
    const release = api.one('command release');
    assert.deepEqual(
      release.links.map(({ context }) => context.spanId),
      [api.one('command impose').spanContext().spanId],
    );
    assert.equal(release.spanContext().traceId, traceOf(api, `POST ${BLOCKS}/{id}/release`));
    assert.notEqual(release.spanContext().traceId, traceOf(api, 'command impose'));
  });

  test('whose caller asks for no trace get none of their own', async (t) => {
    const api = await start(t);
    await api.server.post(BLOCKS, wish('unasked'), { headers: { traceparent: UNSAMPLED } });
    await api.server.get(BLOCKS, { headers: { traceparent: UNSAMPLED } });
    assert.deepEqual(
      api
        .spans()
        .map(({ name }) => name)
        .sort(),
      ['command impose', 'store append'],
      'what is decided is traced all the same',
    );
  });

  test('that only look are traced by chance, or with their caller', async (t) => {
    const api = await start(t);
    await api.server.get(BLOCKS);
    await api.server.get(BLOCKS, { headers: { traceparent: 'nonsense' } });
    assert.deepEqual(api.spans(), []);
    await api.server.get(`/api/v1/senders/carol%40example.com`, { headers: { traceparent: TRACE } });
    const [span] = api.spans();
    assert.doesNotMatch(JSON.stringify([span!.name, span!.attributes]), /carol/);
    assert.equal(span!.parentSpanContext!.spanId, TRACE.slice(36, 52));
  });

  test('without a token begin no trace', async (t) => {
    const api = await start(t);
    const response = await fetch(new URL(BLOCKS, api.server.url), { headers: { traceparent: TRACE } });
    assert.equal(response.status, 401);
    assert.deepEqual(api.spans(), []);
  });

  test('that change the rules say so in the event', async (t) => {
    const api = await start(t);
    const source =
      'version: 1\nrules:\n  - { id: a, per: account, count: messages, window: 1h, limit: 5, then: observe }\n';
    const { status } = await api.server.call('PUT', '/api/v1/rules', {
      body: { source },
      headers: { traceparent: TRACE },
    });
    assert.equal(status, 200);
    assert.equal(traceOf(api, 'store append'), TRACE.slice(3, 35));
  });
});
