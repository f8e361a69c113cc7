import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ImportFolder } from '../../support/import-folder.js';
import { PATIENCE, Scene } from '../../support/kurrentdb/scene.js';
import { logOf } from '../../support/postfix.js';
import { collect } from '../../support/store/events.js';

const START = Date.parse('2026-11-22T10:00:00Z');
const DOINGS = Array.from({ length: 40 }, (_, who) => ({
  gap: 1000,
  what: 'login' as const,
  who: who % 4,
  recipients: 1,
  life: 10,
}));
const LOG = logOf(DOINGS, START, 'iso')
  .map(({ text }) => `${text}\n`)
  .join('');

test(
  'a second import into KurrentDB adds nothing, although the server has forgotten the ids',
  { timeout: PATIENCE },
  (t) =>
    Scene.play(async (scene) => {
      const server = await scene.server();
      const folder = await ImportFolder.open(t, {
        'mail.log': LOG,
        'stopgap.yaml': `data: ./data\nstore: ${server.url}\nsmtp: { relay: { url: smtp://127.0.0.1:25 } }\n`,
      });
      const first = await folder.import(['mail.log']);
      assert.equal(first.code, 0, first.err);
      const added = Number(/^written +(\d+) events added, 0 known before$/m.exec(first.out)![1]);
      assert.ok(added > 40, first.out);
      const store = await scene.store(server.url);
      const before = await collect(store.readAll());
      assert.equal(before.filter(({ type }) => type === 'MessageAccepted').length, 40);

      await server.tell({ do: 'forget' });
      const second = await folder.import(['mail.log']);
      assert.equal(second.code, 0, second.err);
      assert.match(first.out, /^ +into kurrentdb:\/\//m);
      assert.match(second.out, new RegExp(`^written +0 events added, ${added} known before$`, 'm'));
      assert.deepEqual(await collect(store.readAll()), before);
    }),
);
