import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { HookTarget } from '../../../src/config/values.js';
import type { HookCall } from '../../../src/hooks/call.js';
import { actedOn, callHook, firstLines, HookFailed } from '../../../src/hooks/call.js';
import { MINUTE } from '../../../src/kernel/time.js';
import { ManualClock } from '../../support/manual-clock.js';
import { shortOfDescriptors } from '../../support/short-of-descriptors.js';
import { eventually } from '../../support/smtp/eventually.js';

const CALL: HookCall = {
  action: 'release',
  block: 'b1',
  subject: { type: 'account', value: 'alice@example.com' },
  account: 'alice@example.com',
  queueIds: ['4ABC', '4DEF'],
};

/** A program of these lines of JavaScript. */
async function program(t: TestContext, text: string): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-hook-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const file = path.join(dir, 'hook');
  await writeFile(file, `#!${process.execPath}\nconst fs = require('node:fs');\n${text}\n`);
  await chmod(file, 0o755);
  return file;
}

const called = (
  run: HookTarget,
  { clock = new ManualClock(), authorization }: { clock?: ManualClock; authorization?: string } = {},
  signal = new AbortController().signal,
): Promise<string> => callHook({ run, authorization, clock }, CALL, signal);

const failing = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof HookFailed, String(error));
  assert.match(error.message, pattern);
  return true;
};

describe('a program as the hook', () => {
  test('gets the call as JSON and its own arguments, and nothing of our environment or folder', async (t) => {
    process.env['STOPGAP_TEST_SECRET'] = 'hush';
    t.after(() => delete process.env['STOPGAP_TEST_SECRET']);
    const file = await program(
      t,
      `console.log(JSON.stringify({ call: JSON.parse(fs.readFileSync(0, 'utf8')), args: process.argv.slice(2),
        names: Object.keys(process.env), cwd: process.cwd() }));`,
    );
    const told = JSON.parse(await called({ command: [file, '-x', '$(id);*'] })) as Record<string, unknown>;
    assert.deepEqual(told['call'], CALL);
    assert.deepEqual(told['args'], ['-x', '$(id);*'], 'no shell reads them');
    assert.deepEqual(told['names'], ['PATH', 'LANG']);
    assert.equal(told['cwd'], '/');
  });

  test('need not read what it is told', async (t) => {
    const file = await program(t, `console.log('done');`);
    assert.equal(await called({ command: [file] }), 'done\n');
  });

  test('that fails says why: by its exit code and what it wrote, or by the signal that ended it', async (t) => {
    const code = await program(t, `console.error('the queue is away'); process.exit(3);`);
    await assert.rejects(called({ command: [code] }), failing(/^exit code 3: the queue is away$/));
    const signal = await program(t, `process.kill(process.pid, 'SIGTERM'); setTimeout(() => 0, 10_000);`);
    await assert.rejects(called({ command: [signal] }), failing(/^ended by SIGTERM$/));
    await assert.rejects(called({ command: ['/nowhere/hook'] }), failing(/ENOENT/));
  });

  test('that cannot be started for want of descriptors has failed, and can be called again', async () => {
    const hook = new URL('../../../src/hooks/call.js', import.meta.url).href;
    const { printed, code } = await shortOfDescriptors(`
      import { callHook, HookFailed } from '${hook}';
      const options = { run: { command: ['/bin/cat'] }, authorization: undefined, clock: { after: () => () => undefined } };
      const call = (signal) => callHook(options, ${JSON.stringify(CALL)}, signal).then(
        () => 'called',
        (error) => (error instanceof HookFailed ? error.message : error.stack),
      );
      const told = [];
      for (let free = 0; free < 8; free++) {
        leave(free);
        told.push(await call(new AbortController().signal));
      }
      leave(2);
      const stopped = await call(AbortSignal.abort());
      leave(40);
      const again = await call(new AbortController().signal);
      console.log(JSON.stringify({ told, stopped, again }));
    `);
    assert.equal(code, 0, printed);
    const { told, stopped, again } = JSON.parse(printed) as Record<string, string & string[]>;
    assert.equal(told![2], 'spawn /bin/cat EMFILE');
    assert.deepEqual(
      [...told!].filter((one) => one !== 'spawn /bin/cat EMFILE' && one !== 'called'),
      [],
    );
    assert.equal(stopped, 'it was stopped');
    assert.equal(again, 'called');
  });

  test('that does not end is killed after a minute, with all that it has started', async (t) => {
    const clock = new ManualClock();
    const file = await program(
      t,
      `const child = require('node:child_process').spawn('sleep', ['1000']);
      fs.writeFileSync(__filename + '.pids', process.pid + ' ' + child.pid); setInterval(() => 0, 1000);`,
    );
    const rejected = assert.rejects(
      called({ command: [file] }, { clock }),
      failing(/^no answer within 60 s$/),
    );
    const pids = async (): Promise<number[]> =>
      (await readFile(`${file}.pids`, 'utf8').catch(() => '')).split(' ').map(Number);
    await eventually('it runs', async () => (await pids()).length === 2);
    clock.advance(MINUTE);
    await rejected;
    const isThere = (pid: number): boolean => {
      try {
        process.kill(pid, 0);
        // One that has ended and was not waited for is still listed.
        return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
      } catch {
        return false;
      }
    };
    for (const pid of await pids()) await eventually(`${pid} has gone`, () => !isThere(pid));
  });

  test('that writes without end is read to its end, and the beginning is kept', async (t) => {
    const file = await program(
      t,
      `fs.writeSync(1, 'x'.repeat(60_000)); for (let i = 0; i < 50; i++) fs.writeSync(1, 'y'.repeat(60_000));`,
    );
    const output = await called({ command: [file] });
    assert.equal(output.length, 65_536);
  });

  test('ends with the process that called it', async (t) => {
    const closing = new AbortController();
    const file = await program(t, `setInterval(() => 0, 1000);`);
    const rejected = assert.rejects(
      called({ command: [file] }, {}, closing.signal),
      failing(/^it was stopped$/),
    );
    closing.abort();
    await rejected;
  });
});

describe('a URL as the hook', () => {
  async function server(t: TestContext, handle: http.RequestListener): Promise<HookTarget> {
    const listening = http.createServer(handle).listen(0, '127.0.0.1');
    t.after(() => {
      listening.closeAllConnections();
      listening.close();
    });
    await once(listening, 'listening');
    return { url: `http://127.0.0.1:${(listening.address() as AddressInfo).port}/hook` };
  }

  test('is posted the call, with the secret of the file, and its answer is taken', async (t) => {
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-hook-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    await writeFile(path.join(dir, 'secret'), 'Bearer hush\nand more\n');
    const seen: unknown[] = [];
    const run = await server(t, (request, response) => {
      const { method, headers } = request;
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        seen.push([method, headers['authorization'], headers['content-type'], JSON.parse(body)]);
        response.end('released 4ABC\n');
      });
    });
    assert.equal(await called(run, { authorization: path.join(dir, 'secret') }), 'released 4ABC\n');
    assert.deepEqual(seen, [['POST', 'Bearer hush', 'application/json', CALL]]);
    await assert.rejects(called(run, { authorization: path.join(dir, 'none') }), failing(/ENOENT/));
  });

  test('fails by its status, by a redirect, and by silence for a minute', async (t) => {
    const busy = await server(t, (_request, response) => response.writeHead(503).end('later\n'));
    await assert.rejects(called(busy), failing(/^HTTP 503: later$/));
    const elsewhere = await server(t, (_request, response) =>
      response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end(),
    );
    await assert.rejects(called(elsewhere), failing(/./));
    const clock = new ManualClock();
    let isAsked = false;
    const silent = await server(t, () => (isAsked = true));
    const rejected = assert.rejects(called(silent, { clock }), failing(/^no answer within 60 s$/));
    await eventually('it was asked', () => isAsked);
    clock.advance(MINUTE);
    await rejected;
  });

  test('that answers without end is cut', async (t) => {
    const run = await server(t, (_request, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write('x'.repeat(10_000)));
      };
      response.on('drain', more);
      more();
    });
    assert.ok((await called(run)).length <= 65_536);
  });
});

describe('what a hook says', () => {
  test('names the messages that it acted on, by the word of the action, each once, and only such as it was called for', () => {
    const output =
      'released 4ABC\nreleased 4ABC\nheld 4DEF\nreleased 4XYZ\n released 4DEF\nreleased 4DEF extra\n';
    assert.deepEqual(actedOn(CALL, output), ['4ABC']);
    assert.deepEqual(actedOn({ ...CALL, action: 'hold-queue' }, output), ['4DEF']);
    assert.deepEqual(actedOn({ ...CALL, action: 'delete' }, 'deleted 4DEF\r\n'), ['4DEF']);
  });

  test('is shown by its first lines, without what moves a cursor', () => {
    assert.equal(firstLines('\n one \n\u001b[2Jtwo\n3\n4\n5\n6\n'), 'one\n\ufffd[2Jtwo\n3\n4\n5');
    assert.equal(firstLines('x'.repeat(100_000)).length, 500);
  });

  test('is shown without the line by which a hook says that it has come to its end', () => {
    assert.equal(firstLines('end\n'), '');
    assert.equal(firstLines('held 4ABC\nend\n\n'), 'held 4ABC');
    assert.equal(firstLines('end of the queue\nthe end\n'), 'end of the queue\nthe end');
  });
});
