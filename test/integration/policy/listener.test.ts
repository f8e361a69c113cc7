import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import net from 'node:net';
import { spawn } from 'node:child_process';
import { pino } from 'pino';
import type { PolicyAddress } from '../../../src/config/listening.js';
import { MINUTE, SECOND } from '../../../src/kernel/time.js';
import { PolicyListener } from '../../../src/policy/listener.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Asking, requestText } from '../../support/policy/asking.js';
import { eventually } from '../../support/smtp/eventually.js';

/** A listener that answers with what it was asked: the sender. */
class Scene {
  readonly cuts: string[] = [];
  /** What was told of the room for connections. */
  readonly told: string[] = [];
  readonly clock = new ManualClock();
  readonly listener: PolicyListener;
  readonly asked: string[] = [];
  isBehind = false;
  where!: number | string;

  private constructor(listen: PolicyAddress) {
    this.listener = new PolicyListener({
      listen,
      clock: this.clock,
      log: pino({ level: 'silent' }),
      meter: {
        opened: () => undefined,
        closed: () => undefined,
        answered: () => undefined,
        lost: () => undefined,
        cut: (reason) => void this.cuts.push(reason),
      },
      answer: ({ sender }) => {
        this.asked.push(sender);
        return sender;
      },
      isBehind: () => this.isBehind,
      onAcceptFailed: (error) => {
        throw error;
      },
      room: { failed: () => void this.told.push('none'), worked: () => void this.told.push('some') },
    });
  }

  static async start(t: TestContext, listen: PolicyAddress = { host: '127.0.0.1', port: 0 }): Promise<Scene> {
    const scene = new Scene(listen);
    const address = await scene.listener.listen();
    scene.where = 'path' in address ? address.path : address.port;
    t.after(() => scene.listener.close());
    return scene;
  }
}

/** Opens so many connections more. */
async function fill(t: TestContext, { where, listener }: Scene, count: number): Promise<readonly Asking[]> {
  const before = listener.size;
  const all: Asking[] = [];
  while (all.length < count) {
    const group = Array.from({ length: Math.min(100, count - all.length) }, () => Asking.open(t, where));
    all.push(...(await Promise.all(group)));
  }
  await eventually('all are taken', () => listener.size === before + count);
  return all;
}

describe('the policy listener', () => {
  test('answers requests in their order, many at once and in pieces', async (t) => {
    const { where } = await Scene.start(t);
    const asking = await Asking.open(t, where);
    const names = Array.from({ length: 500 }, (_, index) => `s${index}@example.com`);
    const text = names.map((sender) => requestText({ sender })).join('');
    for (let at = 0; at < text.length; at += 977) asking.send(text.slice(at, at + 977));
    for (const name of names) assert.equal(await asking.action(), name);
  });

  test('answers a client that has closed its side, and closes then', async (t) => {
    const { where } = await Scene.start(t);
    const asking = await Asking.open(t, where, { allowHalfOpen: true });
    asking.socket.end(`${requestText({ sender: 'a' })}${requestText({ sender: 'b' })}request=cut off`);
    assert.equal(await asking.action(), 'a');
    assert.equal(await asking.action(), 'b');
    await once(asking.socket, 'end');
    assert.equal(await asking.closed, '', 'what has no end is no request');
  });

  test('answers all of a thousand requests of a client that has closed its side at once', async (t) => {
    const { where } = await Scene.start(t);
    const asking = await Asking.open(t, where, { allowHalfOpen: true });
    const names = Array.from({ length: 1000 }, (_, index) => `s${index}@example.com`);
    asking.socket.end(names.map((sender) => requestText({ sender })).join(''));
    for (const name of names) assert.equal(await asking.action(), name);
    assert.equal(await asking.closed, '');
  });

  test('serves 300 connections at a time, each by itself', async (t) => {
    const { where, listener } = await Scene.start(t);
    const all = await Promise.all(Array.from({ length: 300 }, () => Asking.open(t, where)));
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all(all.map((asking, index) => asking.ask({ sender: `s${index}` })));
      assert.deepEqual(
        answers,
        all.map((_, index) => `s${index}`),
      );
    }
    assert.equal(listener.size, 300);
  });

  test('cuts a connection that sends no request, and no other', async (t) => {
    const { where, cuts } = await Scene.start(t);
    const good = await Asking.open(t, where);
    for (const text of [
      'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
      '\n',
      'a=b\n'.repeat(200),
      'x'.repeat(100_000),
    ]) {
      const bad = await Asking.open(t, where);
      bad.send(text);
      assert.equal(await bad.closed, '');
    }
    assert.deepEqual(cuts, ['syntax', 'syntax', 'attributes', 'bytes']);
    assert.equal(await good.ask({ sender: 'good' }), 'good');
  });

  test('cuts who keeps a request back for ten seconds, though it goes on byte by byte', async (t) => {
    const { where, cuts, clock, listener } = await Scene.start(t);
    const [slow, idle] = [await Asking.open(t, where), await Asking.open(t, where)];
    assert.equal(await slow.ask({ sender: 'a' }), 'a');
    slow.send('request=');
    await eventually('it is read', () => slow.socket.bytesWritten > 0 && listener.size === 2);
    // The first look notices what is owed; the next ones find it overdue.
    for (let at = 0; at < 4; at++) {
      slow.send('x');
      assert.equal(await idle.ask({ sender: 'b' }), 'b', 'what was sent before is read by now');
      clock.advance(5 * SECOND);
    }
    await slow.closed;
    assert.deepEqual(cuts, ['partial']);
  });

  test('lets a connection wait for nine minutes, and cuts it after ten', async (t) => {
    const { where, cuts, clock } = await Scene.start(t);
    const idle = await Asking.open(t, where);
    assert.equal(await idle.ask({ sender: 'a' }), 'a');
    clock.advance(9 * MINUTE);
    assert.equal(await idle.ask({ sender: 'b' }), 'b');
    clock.advance(9 * MINUTE);
    assert.deepEqual(cuts, []);
    clock.advance(2 * MINUTE);
    await idle.closed;
    assert.deepEqual(cuts, ['idle']);
  });

  test('reads no more of a client that does not read its answers, and cuts it', async (t) => {
    const { where, cuts, clock, listener } = await Scene.start(t);
    const deaf = await Asking.open(t, where);
    deaf.socket.pause();
    const many = requestText({ sender: 'x'.repeat(2000) }).repeat(500);
    // Its own buffers fill up once nobody reads any more.
    let written = 0;
    while (deaf.socket.writableLength < 1_000_000 && written < 200) {
      deaf.send(many);
      written++;
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(written < 200, 'it was read on and on');
    assert.equal(listener.size, 1);
    for (let at = 0; at < 4; at++) clock.advance(5 * SECOND);
    assert.deepEqual(cuts, ['partial']);
    await eventually('it is gone', () => listener.size === 0);
  });

  test('reads each connection forty times a second at most while what it told waits to be written', async (t) => {
    const scene = await Scene.start(t);
    const { where, clock } = scene;
    const asking = await Asking.open(t, where, { allowHalfOpen: true });
    const other = await Asking.open(t, where);
    scene.isBehind = true;
    assert.equal(await asking.ask({ sender: 'a' }), 'a', 'an answer waits for nothing');
    asking.socket.end(requestText({ sender: 'b' }));
    assert.equal(await other.ask({ sender: 'c' }), 'c');
    assert.deepEqual(scene.asked, ['a', 'c'], 'what comes next is left where it is');
    clock.advance(25);
    assert.equal(await asking.action(), 'b');
    scene.isBehind = false;
    clock.advance(25);
    assert.equal(await asking.closed, '');
    assert.equal(await other.ask({ sender: 'd' }), 'd');
    assert.equal(await other.ask({ sender: 'e' }), 'e');
  });

  test('takes a connection beyond its bound, and cuts the one that has asked nothing for longest', async (t) => {
    const scene = await Scene.start(t);
    const { where, cuts, clock, listener } = scene;
    const first = await Asking.open(t, where);
    assert.equal(await first.ask({ sender: 'a' }), 'a');
    clock.advance(SECOND);
    const [busy] = await fill(t, scene, 1999);
    const late = await Asking.open(t, where);
    assert.equal(await late.ask({ sender: 'b' }), 'b', 'a mail server that connects now is answered');
    assert.equal(await first.closed, '');
    assert.deepEqual([cuts, scene.told, listener.size], [['full'], ['none'], 2000]);
    assert.equal(await busy!.ask({ sender: 'c' }), 'c');
    clock.advance(5 * SECOND);
    assert.deepEqual(scene.told, ['none', 'some'], 'no other one was cut since');
  });

  test('cuts first who has not asked within ten seconds, however long mail servers have had nothing to ask', async (t) => {
    const scene = await Scene.start(t);
    const { where, cuts, clock } = scene;
    const server = await Asking.open(t, where);
    assert.equal(await server.ask({ sender: 'a' }), 'a');
    clock.advance(5 * MINUTE);
    await fill(t, scene, 1999);
    clock.advance(10 * SECOND);
    for (const sender of ['b', 'c', 'd'])
      assert.equal(await (await Asking.open(t, where)).ask({ sender }), sender);
    assert.deepEqual(cuts, ['full', 'full', 'full']);
    assert.equal(await server.ask({ sender: 'e' }), 'e');
  });

  test('ends open connections when it closes', async (t) => {
    const { where, listener } = await Scene.start(t);
    const asking = await Asking.open(t, where);
    assert.equal(await asking.ask({ sender: 'a' }), 'a');
    await listener.close();
    assert.equal(await asking.closed, '');
  });
});

describe('the policy listener on a UNIX socket', () => {
  const socketIn = async (t: TestContext): Promise<string> => {
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-policy-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    return path.join(dir, 'policy');
  };

  test('answers, is open to every user who reaches it, and is gone afterwards', async (t) => {
    const file = await socketIn(t);
    const { where, listener } = await Scene.start(t, { path: file });
    assert.equal(await (await Asking.open(t, where)).ask({ sender: 'a' }), 'a');
    assert.equal((await stat(file)).mode & 0o777, 0o666);
    await listener.close();
    await assert.rejects(stat(file), { code: 'ENOENT' });
  });

  test('takes the place of a socket that a killed process has left', async (t) => {
    const file = await socketIn(t);
    const script = `require('net').createServer().listen(${JSON.stringify(file)}, () => console.log('up'))`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
    const { where } = await Scene.start(t, { path: file });
    assert.equal(await (await Asking.open(t, where)).ask({ sender: 'a' }), 'a');
  });

  test('touches neither a socket where somebody answers nor a file', async (t) => {
    const file = await socketIn(t);
    const other = net.createServer().listen(file);
    t.after(() => other.close());
    await once(other, 'listening');
    await assert.rejects(Scene.start(t, { path: file }), { code: 'EADDRINUSE' });
    const plain = `${file}.txt`;
    await writeFile(plain, 'mine');
    await assert.rejects(Scene.start(t, { path: plain }), { code: 'EADDRINUSE' });
    assert.equal((await stat(plain)).size, 4);
  });
});
