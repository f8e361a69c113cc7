import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Scene } from '../../support/kurrentdb/scene.js';
import { Stopgap } from '../../support/smtp/stopgap.js';

/** The fields that docs/reference/api.md says `/healthz` has. */
function documented(): readonly string[] {
  const docs = readFileSync('docs/reference/api.md', 'utf8');
  const [, section] = /^### GET \/healthz\n([\s\S]*?)(?=^#)/m.exec(docs)!;
  return [...section!.matchAll(/^\| `(\w+)` /gm)].map(([, name]) => name!);
}

async function fieldsOf(stopgap: Stopgap): Promise<readonly string[]> {
  const answer = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}/healthz`);
  return Object.keys((await answer.json()) as object);
}

test('docs/reference/api.md lists just what /healthz says, at an SMTP node with an outbox', (t) =>
  Scene.play(async (scene) => {
    const { url } = await scene.server();
    const stopgap = await Stopgap.start(t, {
      settings: { roles: ['smtp', 'policy'], store: url, policy: { listen: '127.0.0.1:0' } },
    });
    assert.deepEqual([...(await fieldsOf(stopgap)), 'redis'].sort(), [...documented()].sort());
    await stopgap.stop();
  }));

test('without an outbox nothing waits in one, and without policy.listen no mail server asks', async (t) => {
  const stopgap = await Stopgap.start(t);
  assert.deepEqual(
    [...(await fieldsOf(stopgap)), 'outbox', 'quarantine', 'redis', 'policy'].sort(),
    [...documented()].sort(),
  );
});
