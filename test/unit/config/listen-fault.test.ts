import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listenFault } from '../../../src/config/listening.js';

test('a listener that cannot be opened is told by its setting, its value and what to do', () => {
  for (const [code, words] of [
    ['EADDRINUSE', 'is taken by another process'],
    ['EADDRNOTAVAIL', 'is no address of this machine'],
    ['EACCES', 'is not for this user'],
    ['ENOTFOUND', 'is a name that nobody knows: name an address of this machine, or a port alone'],
    ['EAI_AGAIN', 'is a name that no name server answers for'],
  ] as const) {
    const thrown = Object.assign(new Error(`getaddrinfo ${code} nohost.invalid`), { code });
    const told = listenFault(thrown, 'smtp.submission.listen', { host: 'nohost.invalid', port: 587 });
    const { message } = told as Error;
    assert.ok(message.startsWith(`smtp.submission.listen: nohost.invalid:587 ${words}`), message);
  }
});

test('a socket that cannot be made is told by its setting, its value and what to do', () => {
  for (const [code, words] of [
    ['EADDRINUSE', 'is taken by another process, or is no socket'],
    ['ENOENT', 'is in a folder that does not exist'],
    ['EACCES', 'cannot be made by this user'],
    ['EROFS', 'is where the service may write nothing: name its folder in ReadWritePaths= of the unit'],
  ] as const) {
    const thrown = Object.assign(new Error(`listen ${code}`), { code });
    const { message } = listenFault(thrown, 'policy.listen', { path: '/srv/policy' }) as Error;
    assert.ok(message.startsWith(`policy.listen: unix:/srv/policy ${words}`), message);
  }
});
