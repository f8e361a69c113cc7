import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { StopgapError } from '../../../src/kernel/errors.js';
import { ApiServer } from '../../support/api/server.js';

const RETRY = '/api/v1/outbox/retry';

describe('the outbox through the API', () => {
  test('an operator retries all events in quarantine, or some', async (t) => {
    const asked: (readonly string[] | undefined)[] = [];
    const outbox = {
      quarantined: 3,
      retry(ids?: readonly string[]) {
        asked.push(ids);
        if (ids?.includes('unknown') === true) throw new StopgapError('not-found', 'no event unknown');
        return Promise.resolve(ids?.length ?? 5);
      },
    };
    const server = await ApiServer.start((deps) => ({ ...deps, outbox }));
    t.after(() => server.stop());
    assert.equal((await server.call('POST', RETRY, { role: 'viewer' })).status, 403);
    const all = await server.call('POST', RETRY, { role: 'operator' });
    assert.deepEqual([all.status, all.json], [200, { retried: 5, quarantine: 3 }]);
    const some = await server.call('POST', RETRY, { role: 'operator', body: { ids: ['one', 'two'] } });
    assert.deepEqual(some.json, { retried: 2, quarantine: 3 });
    assert.equal((await server.call('POST', RETRY, { body: { ids: ['unknown'] } })).status, 404);
    assert.equal((await server.call('POST', RETRY, { body: { ids: 'one' } })).status, 400);
    assert.deepEqual(asked, [undefined, ['one', 'two'], ['unknown']]);
  });

  test('a process without an outbox says so', async (t) => {
    const server = await ApiServer.start();
    t.after(() => server.stop());
    const { status, text } = await server.call('POST', RETRY);
    assert.equal(status, 404);
    assert.match(text, /keeps no outbox/);
  });
});
