import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { generate } from 'selfsigned';
import { SECOND } from '../../../src/kernel/time.js';
import { BlackHole } from '../../support/kurrentdb/black-hole.js';
import type { Member } from '../../support/kurrentdb/faults.js';
import { Follower, insist, PATIENCE, Scene, SHORT, urlOf } from '../../support/kurrentdb/scene.js';
import type { StandIn } from '../../support/kurrentdb/stand-in.js';
import { eventually } from '../../support/smtp/eventually.js';
import { collect, ids, newEvents } from '../../support/store/events.js';

const HOST = '127.0.0.1';

/** Tells each node that is alive who is in the cluster, and who leads it. */
async function elect(
  leader: StandIn,
  alive: readonly StandIn[],
  dead: readonly StandIn[] = [],
): Promise<void> {
  const members: Member[] = [...alive, ...dead].map((node) => ({
    host: HOST,
    port: node.port,
    state: node === leader ? 'leader' : 'follower',
    alive: alive.includes(node),
  }));
  for (const node of alive) {
    await node.tell({ do: 'faults', members });
    await node.tell(
      node === leader ? { do: 'lead' } : { do: 'follow', leader: { host: HOST, port: leader.port } },
    );
  }
}

describe('a KurrentDB cluster', { timeout: PATIENCE }, () => {
  const changes: [name: string, depose: (old: StandIn, next: StandIn) => Promise<void>][] = [
    ['steps down', (old, next) => elect(next, [old, next])],
    [
      'is frozen',
      async (old, next) => {
        old.freeze();
        await elect(next, [next], [old]);
      },
    ],
    [
      'is cut off from the others',
      async (old, next) => {
        await old.tell({ do: 'isolate' });
        await elect(next, [next], [old]);
        await old.tell({ do: 'faults', notReady: true });
      },
    ],
    [
      'is killed',
      async (old, next) => {
        await old.kill();
        await elect(next, [next], [old]);
      },
    ],
  ];
  for (const [name, depose] of changes) {
    it(`goes on when its leader ${name}: appends, reads and subscriptions lose and repeat nothing`, () =>
      Scene.play(async (scene) => {
        const [old, next] = [await scene.server(), await scene.server()];
        await elect(old, [old, next]);
        const url = `${urlOf(old, next)}&nodePreference=follower`;
        const store = await scene.store(url, { appendTimeout: 4 * SHORT, silence: SHORT });
        const follower = new Follower(store, { after: 0, categories: ['block'] });
        const before = newEvents(20);
        await store.append('block-a', before, 'none');
        await follower.reached(20);
        await depose(old, next);
        const after = newEvents(20);
        for (const event of after) await insist(store, 'block-a', [event]);
        await follower.reached(40);
        assert.deepEqual(follower.ids, ids([...before, ...after]));
        await eventually('healthy', () => store.healthy);
        await eventually('reads go to the new leader', async () => {
          const read = await collect(store.readStream('block-a')).catch(() => []);
          return read.length === 40;
        });
      }));
  }

  it('is reached although one of its nodes does not answer at all', () =>
    Scene.play(async (scene) => {
      const hole = await BlackHole.open();
      try {
        const leader = await scene.server();
        const store = await scene.store(urlOf(hole, leader), { appendTimeout: SHORT });
        const events = newEvents(3);
        await store.append('block-a', events, 'none');
        assert.deepEqual(ids(await collect(store.readStream('block-a'))), ids(events));
        const follower = new Follower(store, { after: 0 });
        await follower.reached(3);
      } finally {
        hole.close();
      }
    }));

  it('takes appends at its leader, even if the client prefers another node', () =>
    Scene.play(async (scene) => {
      const [leader, other] = [await scene.server(), await scene.server()];
      await elect(leader, [leader, other]);
      const store = await scene.store(`${urlOf(leader, other)}&nodePreference=follower`);
      assert.equal(store.healthy, true);
      assert.ok(Math.abs(store.clockSkew!) < SECOND);
      const events = newEvents(3);
      await store.append('block-a', events, 'none');
      assert.deepEqual(ids(await collect(store.readStream('block-a'))), ids(events));
      assert.deepEqual(scene.reports, []);
    }));

  it('is found by one name', () =>
    Scene.play(async (scene) => {
      const [leader, other] = [await scene.server(), await scene.server()];
      await elect(leader, [leader, other]);
      const store = await scene.store(`kurrentdb+discover://${HOST}:${other.port}?tls=false`);
      const events = newEvents(3);
      await insist(store, 'block-a', events);
      assert.deepEqual(ids(await collect(store.readStream('block-a'))), ids(events));
      assert.equal(store.healthy, true);
    }));

  it('is found again after no node could be reached for a while', () =>
    Scene.play(async (scene) => {
      const [one, two] = [await scene.server(), await scene.server()];
      await elect(one, [one, two]);
      const store = await scene.store(urlOf(one, two), { silence: SHORT });
      const follower = new Follower(store, { after: 0, categories: ['block'] });
      await follower.subscription.caughtUp;
      await Promise.all([one.kill(), two.kill()]);
      await assert.rejects(store.append('block-a', newEvents(1), 'any'));
      await eventually('both connections were tried', () =>
        ['head could not be asked', 'subscription was lost'].every((problem) =>
          scene.reports.some((text) => text.includes(problem)),
        ),
      );
      const again = [await scene.restarted(one), await scene.restarted(two)];
      await elect(again[1]!, again);
      await eventually('healthy', () => store.healthy);
      const events = newEvents(3);
      await insist(store, 'block-a', events);
      await follower.reached(3);
      assert.deepEqual(follower.ids, ids(events));
    }));
});

describe('KurrentDB over TLS', { timeout: PATIENCE }, () => {
  it('is reached with the authority and the user of its URL, with any characters in the password', () =>
    Scene.play(async (scene) => {
      const authority = await generate([{ name: 'commonName', value: 'an authority' }], {
        algorithm: 'sha256',
        extensions: [{ name: 'basicConstraints', cA: true, critical: true }],
      });
      // The reads' connection takes no authority for a server, so there are two certificates.
      const served = await generate([{ name: 'commonName', value: 'localhost' }], {
        algorithm: 'sha256',
        ca: { key: authority.private, cert: authority.cert },
        extensions: [
          { name: 'basicConstraints', cA: false },
          { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
        ],
      });
      const file = async (name: string, text: string): Promise<string> => {
        await fs.writeFile(path.join(scene.directory, name), text, { mode: 0o600 });
        return path.join(scene.directory, name);
      };
      const caFile = encodeURIComponent(await file('ca', authority.cert));
      const files = {
        key: await file('key', served.private),
        certificate: await file('certificate', served.cert),
      };
      const server = await scene.server({ tls: files, user: 'stopgap:s3c!r:et@,%' });
      // As at a cluster, of which one node is away.
      const nodes = `localhost:${server.port},localhost:1`;
      const url = (user: string) => `kurrentdb://${user}@${nodes}?tls=true&tlsCaFile=${caFile}`;
      const store = await scene.store(
        url(`stopgap:${encodeURIComponent('s3c!r:et@,%').replace('!', '%21')}`),
      );
      const events = newEvents(3);
      await store.append('block-a', events, 'none');
      const follower = new Follower(store, { after: 0 });
      await follower.reached(3);
      assert.deepEqual(ids(await collect(store.readStream('block-a'))), ids(events));
      await assert.rejects(scene.store(url('stopgap:wrong')), /refuses the user or password/);
    }));
});
