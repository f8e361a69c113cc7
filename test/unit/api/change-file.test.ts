import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changeFile } from '../../../src/api/people.js';
import type { PeopleDependencies } from '../../../src/api/sessions.js';
import { StopgapError } from '../../../src/kernel/errors.js';

const FILE = '/etc/stopgap/admins.yaml';
const deps = {
  adminsFile: { path: FILE, readAgain: () => Promise.resolve() },
} as unknown as PeopleDependencies;

const CANNOT = `the file of administrators (${FILE}) cannot be written`;
const FAULTS: Array<[code: string, answered: string, told: string]> = [
  ['EACCES', 'conflict', `${CANNOT} by the server: use stopgap admin on its machine`],
  ['EPERM', 'conflict', `${CANNOT} by the server: use stopgap admin on its machine`],
  ['EROFS', 'conflict', `${CANNOT} by the server: use stopgap admin on its machine`],
  ['EMFILE', 'unavailable', `${CANNOT} (EMFILE); try again`],
  ['EIO', 'unavailable', `${CANNOT} (EIO); try again`],
];

for (const [code, answered, told] of FAULTS)
  test(`a change of people that fails by ${code} is answered with ${answered}`, async () => {
    const fault = Object.assign(new Error(`${code}: it fails, open '${FILE}'`), { code, syscall: 'open' });
    await assert.rejects(
      changeFile(deps, () => Promise.reject(fault)),
      (thrown) => thrown instanceof StopgapError && thrown.code === answered && thrown.message === told,
    );
  });
