import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileFault, pathFault } from '../../../src/accounts/private-file.js';

const faultOf = (code: string, more: object = {}): Error =>
  Object.assign(new Error(`${code}: raw, open 'x'`), { code, syscall: 'open', ...more });

test('what the system says of a file is told in words, with what to do', () => {
  assert.equal(fileFault(faultOf('ENOENT'), 'name another'), 'does not exist; name another');
  assert.equal(
    fileFault(faultOf('ENOENT'), 'name another', 'written'),
    'is in a folder that does not exist; name another',
  );
  assert.equal(fileFault(faultOf('EISDIR'), 'name another'), 'is a folder; name another');
  assert.equal(fileFault(faultOf('ENOSPC'), 'x', 'written'), 'finds no room on its disk; x');
  assert.equal(fileFault(faultOf('EROFS'), 'x', 'written'), 'is on a disk that is read-only; x');
  assert.equal(fileFault(faultOf('EIO'), 'name another'), 'cannot be read (EIO); name another');
});

test('a file of another user is to be given away, not to be named otherwise', () => {
  assert.match(
    fileFault(faultOf('EACCES'), 'leave it out'),
    /^cannot be read by this user \(id \d+\): give it to the service's user with chown, and run this as that user$/,
  );
});

test('an error of the system that names its file becomes a sentence, and any other is none', () => {
  assert.equal(
    pathFault(faultOf('ENOENT', { path: '/a/b' })),
    '/a/b does not exist; see that it is what it should be',
  );
  assert.equal(pathFault(faultOf('ECONNREFUSED')), undefined);
  assert.equal(pathFault(new Error('no')), undefined);
  assert.equal(pathFault(undefined), undefined);
});
