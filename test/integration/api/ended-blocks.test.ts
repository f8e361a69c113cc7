import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { MINUTE, formatInstant } from '../../../src/kernel/time.js';
import { ReadModels } from '../../../src/detector/read-models.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import type { Answered } from '../../support/api/answered.js';
import { ApiServer } from '../../support/api/server.js';
import { changed } from '../../support/store/changed.js';

const VALUE = 'anna@example.com';

describe('blocks that have ended and left memory', () => {
  let server: ApiServer;
  let isAway = false;
  /** As the API showed them right after they had ended, the newest first. */
  const shown: Answered[] = [];
  let during = '';

  before(async () => {
    const nothing = () => undefined;
    const models = new ReadModels(
      { onVerdict: nothing, onBlockEvent: nothing, onRulesChanged: nothing, onSkipped: nothing },
      { endedKept: 1 },
    );
    server = await ApiServer.start((deps) => {
      const store = changed(deps.store, {
        readStream: (...asked) => {
          if (isAway) throw new StoreUnavailable('the store is away');
          return deps.store.readStream(...asked);
        },
      });
      return { ...deps, models, store };
    });
    await models.follow(server.deps.store);
    for (const note of ['first', 'second', 'third']) {
      const { id } = await server.block(VALUE, { description: `the ${note} time` });
      server.clock.advance(MINUTE);
      during = formatInstant(server.clock.now());
      server.clock.advance(MINUTE);
      const reply = await server.post(`/api/v1/blocks/${id}/release`, { note });
      assert.equal(reply.status, 200, reply.text);
      shown.unshift(reply.json);
    }
    // What is kept is this one.
    const { id } = await server.block('other@example.com');
    await server.post(`/api/v1/blocks/${id}/release`, {});
    assert.deepEqual(
      [...models.ledger.kept()].map((entry) => entry.id),
      [id],
    );
  });
  after(() => server.stop());

  test('are shown whole, one by one, in lists and with their sender', async () => {
    for (const block of shown) {
      const reply = await server.get(`/api/v1/blocks/${block.id}`, { role: 'viewer' });
      assert.deepEqual([reply.status, reply.json], [200, block]);
    }
    const listed = shown.map((block) => ({ ...block, refused: 0, lastRefusedAt: null }));
    assert.deepEqual((await server.get(`/api/v1/blocks?value=${VALUE}`)).json.items, listed);
    assert.deepEqual((await server.get('/api/v1/blocks?q=second%20time')).json.items, [listed[1]]);
    assert.deepEqual((await server.get(`/api/v1/senders/account/${VALUE}`)).json.blocks, shown);
    assert.equal(shown[0]!.follows.block, shown[1]!.id, 'it came right after a release');
  });

  test('tell what was refused at a past instant', async () => {
    const { json } = await server.get(`/api/v1/check?account=${VALUE}&at=${during}`);
    assert.equal(json.refused, true);
    assert.equal(json.block.id, shown[0]!.id);
    assert.equal(json.block.description, 'the third time');
  });

  test('conflict with what is done to them as ever', async () => {
    const reply = await server.post(`/api/v1/blocks/${shown[2]!.id}/release`, {});
    assert.equal(reply.status, 409, reply.text);
    assert.deepEqual(reply.json.current, shown[2]);
  });

  test('answer 503 while the store is away, and what has not ended is shown', async () => {
    const { id } = await server.block('now@example.com');
    isAway = true;
    try {
      assert.equal((await server.get(`/api/v1/blocks/${shown[0]!.id}`)).status, 503);
      assert.equal((await server.get(`/api/v1/blocks/${id}`)).status, 200);
      const { status, json } = await server.get('/api/v1/blocks?state=active,proposed');
      assert.equal(status, 200);
      assert.deepEqual(
        json.items.map((item) => item.id),
        [id],
      );
      assert.equal((await server.get('/api/v1/blocks/unknown')).status, 404);
    } finally {
      isAway = false;
    }
  });
});
