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
