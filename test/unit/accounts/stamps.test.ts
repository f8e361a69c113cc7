import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import {
  addAdmin,
  addPasskey,
  editAdmin,
  endSecondFactor,
  normalizeAdmin,
  parseAdmins,
  readAdmins,
  removePasskey,
  setAdminLink,
  startSecondFactor,
} from '../../../src/accounts/admins.js';
import type { AdminRecord } from '../../../src/accounts/admins.js';
import type { Passkey } from '../../../src/accounts/passkeys.js';
import { parsePasskey, passkeyText } from '../../../src/accounts/passkeys.js';
import { NO_ADMIN } from '../../../src/accounts/passwords.js';

const folder = mkdtempSync(path.join(os.tmpdir(), 'stopgap-stamps-'));
const file = path.join(folder, 'admins.yaml');
after(() => rmSync(folder, { recursive: true }));

const PASSKEY: Passkey = {
  id: 'abc_-1',
  key: 'pQEC',
  counter: 7,
  addedAt: '2026-01-31T08:00:00.000Z',
  transports: ['internal', 'usb'],
  name: 'Büro: #2 "it\'s"',
};

test('what somebody is again has another stamp than before, so that no session comes back', async () => {
  const name = 'alice';
  for (const who of [name, 'root'])
    await addAdmin({ file, name: who, role: 'admin', password: 'correct horse battery', now: 0 });
  const alice = async (): Promise<AdminRecord> => (await readAdmins(file)).get(name)!;
  const stamps = [(await alice()).stamp];
  for (const change of [
    () => editAdmin({ file, name, edit: { role: 'viewer' } }),
    () => editAdmin({ file, name, edit: { role: 'admin' } }),
    () => editAdmin({ file, name, edit: { disabled: true } }),
    () => editAdmin({ file, name, edit: { disabled: false } }),
    () => startSecondFactor({ file, name }),
    () => endSecondFactor({ file, name }),
    () => addPasskey({ file, name, passkey: PASSKEY }),
    () => removePasskey({ file, name, id: PASSKEY.id }),
  ]) {
    await change();
    stamps.push((await alice()).stamp);
  }
  assert.equal(new Set(stamps).size, stamps.length);
  await editAdmin({ file, name, edit: { role: 'admin', disabled: false } });
  await setAdminLink({ file, name, link: { hash: `sha256:${'0'.repeat(64)}`, until: 0 } });
  assert.equal((await alice()).stamp, stamps.at(-1), 'what changes nothing ends no session');
});

test('an entry of before has the stamp that it had: nobody is signed out by an update', () => {
  const text = `admins:\n  - name: bob\n    role: viewer\n    password: ${NO_ADMIN}\n`;
  const { stamp } = parseAdmins(text, 'admins.yaml').get('bob')!;
  const before = JSON.stringify([{ role: 'viewer', domains: [] }, { password: NO_ADMIN }]);
  assert.equal(stamp, createHash('sha256').update(before).digest('hex').slice(0, 32));
});

test('a passkey is one line of the file, and what is none is a problem with its place', async () => {
  assert.deepEqual(parsePasskey(passkeyText(PASSKEY)), PASSKEY);
  const plain = { ...PASSKEY, transports: [], name: 'x' };
  assert.deepEqual(parsePasskey(passkeyText(plain)), plain);
  await addPasskey({ file, name: 'root', passkey: PASSKEY });
  assert.deepEqual((await readAdmins(file)).get('root')!.passkeys, [PASSKEY]);
  for (const line of ['[nonsense]', '["a b 1 2026-01-01 - x\\ny"]', 'true', '[1]']) {
    const text = `admins:\n  - name: bob\n    role: viewer\n    password: ${NO_ADMIN}\n    passkeys: ${line}\n`;
    assert.throws(
      () => parseAdmins(text, 'admins.yaml'),
      /admins\.yaml:5:\d+: admins\[0\]\.passkeys: must be/,
    );
  }
});

test('names that differ only in the form of letters are one name', () => {
  const entry = (called: string): string =>
    `  - name: ${called}\n    role: viewer\n    password: ${NO_ADMIN}\n`;
  const people = parseAdmins(`admins:\n${entry('ＣＨＩＥＦ')}${entry('J\u030cana')}`, 'admins.yaml');
  assert.deepEqual([...people.keys()], ['chief', '\u01f0ana']);
  for (const key of people.keys()) assert.equal(normalizeAdmin(key), key);
  assert.throws(
    () => parseAdmins(`admins:\n${entry('chief')}${entry('ｃｈｉｅｆ')}`, 'admins.yaml'),
    /chief is there twice/,
  );
});
