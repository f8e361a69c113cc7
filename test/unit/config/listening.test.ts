import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { asListen } from '../../../src/config/values.js';
import { formatListen } from '../../../src/config/listening.js';
import { StopgapError } from '../../../src/kernel/errors.js';
import { listenOptions } from '../../../src/runtime/listening.js';

const passed = (names: string, count = names.split(':').length): Record<string, string> => ({
  LISTEN_PID: String(process.pid),
  LISTEN_FDS: String(count),
  LISTEN_FDNAMES: names,
});
const socket = (name: string) => asListen(`systemd:${name}`, '');

describe('where a listener listens', () => {
  test('is an address, or all of them', () => {
    assert.deepEqual(listenOptions(asListen('127.0.0.1:25', '')), { host: '127.0.0.1', port: 25 });
    assert.deepEqual(listenOptions(asListen(':25', '')), { port: 25 });
  });

  test('is the socket of its name among those that systemd passes', () => {
    const env = passed('submission:api:a.socket');
    assert.deepEqual(listenOptions(socket('submission'), env), { fd: 3 });
    assert.deepEqual(listenOptions(socket('a.socket'), env), { fd: 5 });
    assert.equal(formatListen(socket('api')), 'systemd:api');
  });

  test('is no socket that was passed to another process, that does not exist, or that is one of two', () => {
    const env = passed('submission');
    for (const [name, around, message] of [
      ['api', env, /^systemd:api: systemd passes no socket of that name: write FileDescriptorName=api/],
      ['submission', {}, /passes no socket/],
      ['submission', { ...env, LISTEN_PID: '1' }, /passes no socket/],
      ['api', passed('submission:api', 1), /passes no socket/],
      ['submission', passed('submission:submission'), /passes several sockets of that name/],
    ] as const)
      assert.throws(
        () => listenOptions(socket(name), around),
        (error: unknown) => error instanceof StopgapError && message.test(error.message),
      );
  });

  test('has no name with what names may not hold', () => {
    for (const name of ['', 'a:b', 'a b', 'ü', 'x'.repeat(256)]) assert.throws(() => socket(name));
  });
});
