import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApiServer } from '../../support/api/server.js';

describe('the log through the API', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  test('its level is read by anybody with a token, and changed by administrators', async () => {
    const before = await server.get('/api/v1/log-level', { role: 'viewer' });
    assert.deepEqual(before.json, { level: 'trace', configured: 'trace', components: {} });
    const body = { level: 'warn' };
    assert.equal((await server.call('PUT', '/api/v1/log-level', { role: 'operator', body })).status, 403);
    const headers = { 'x-request-id': 'louder-1' };
    const after = await server.call('PUT', '/api/v1/log-level', { body, headers });
    assert.deepEqual(after.json, { level: 'warn', configured: 'trace', components: {} });
    const told = server.logged.find((line) => line.includes('the log level was changed'))!;
    const { by, logLevel, correlation } = JSON.parse(told) as Record<string, string>;
    assert.deepEqual([by, logLevel, correlation], ['admin:the-admin', 'warn', 'request:louder-1']);
    const one = await server.call('PUT', '/api/v1/log-level', {
      body: { level: 'debug', component: 'smtp' },
    });
    assert.deepEqual((one.json as unknown as { components: unknown }).components, { smtp: 'debug' });
  });

  test('an unknown level or component is refused', async () => {
    for (const body of [
      { level: 'loud' },
      {},
      { level: 'info', component: 'nobody' },
      { level: 'info', x: 1 },
    ]) {
      assert.equal(
        (await server.call('PUT', '/api/v1/log-level', { body })).status,
        400,
        JSON.stringify(body),
      );
    }
    assert.equal((await server.get('/api/v1/log?limit=0')).status, 400);
    assert.equal((await server.get('/api/v1/log?level=silent')).status, 400);
  });

  test('its last lines are for administrators', async () => {
    const { recent } = server.deps.logs;
    const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];
    const line = (level: string, component: string, n: number) =>
      recent.push(`${JSON.stringify({ time: '2026-03-01T12:00:00.000Z', level, component, n })}\n`);
    levels.forEach((level, n) => line(level, 'smtp', n));
    line('info', 'api', 9);
    const numbers = async (query: string): Promise<unknown[]> =>
      (await server.get(`/api/v1/log${query}`)).json.items.map(
        (item) => (item as unknown as { n: number }).n,
      );
    assert.equal((await server.get('/api/v1/log', { role: 'operator' })).status, 403);
    assert.deepEqual(await numbers(''), [0, 1, 2, 3, 4, 5, 9]);
    assert.deepEqual(await numbers('?level=warn'), [3, 4, 5]);
    assert.deepEqual(await numbers('?component=api'), [9]);
    assert.deepEqual(await numbers('?limit=2&level=info&component=smtp'), [4, 5], 'the newest');
  });

  test('each decision of an administrator has one line, under the id of its request', async () => {
    server.deps.logs.levels.set('info', 'test');
    server.logged.length = 0;
    const id = (await server.block('eve@example.com')).id;
    const headers = { 'x-request-id': 'let-go-1' };
    await server.post(`/api/v1/blocks/${id}/release`, { note: 'private words' }, { headers });
    const lines = server.logged
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === 'an administrator decided');
    assert.deepEqual(
      lines.map(({ outcome, subject, block, by }) => ({ outcome, subject, block, by })),
      ['BlockImposed', 'BlockReleased'].map((outcome) => ({
        outcome,
        subject: { type: 'account', value: 'eve@example.com' },
        block: id,
        by: 'admin:the-admin',
      })),
    );
    assert.match(String(lines[0]!['until']), /^\d{4}-.*Z$/);
    assert.equal(lines[1]!['correlation'], 'request:let-go-1');
    assert.ok(!server.logged.join('').includes('private words'), 'notes are for the store');
  });

  test('the line of a release says that the rule was called wrong, and what becomes of held mail', async () => {
    server.deps.logs.levels.set('info', 'test');
    const id = await server.trip('wes@example.com', 'block');
    server.logged.length = 0;
    await server.post(`/api/v1/blocks/${id}/release`, { falsePositive: true, held: 'keep' });
    await server.post(`/api/v1/blocks/${id}/held`, { action: 'delete' });
    const lines = server.logged.map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      lines
        .filter(({ msg }) => msg === 'an administrator decided')
        .map(({ outcome, falsePositive, held }) => ({ outcome, falsePositive, held })),
      [
        { outcome: 'BlockReleased', falsePositive: true, held: 'keep' },
        { outcome: 'HeldMailDecided', falsePositive: undefined, held: 'delete' },
      ],
    );
  });
});
