import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { asListen } from '../../../src/config/values.js';
import { ROOT, text } from './compose.js';

const FOLDER = 'deploy/systemd';
const UNITS = readdirSync(path.join(ROOT, FOLDER));
const missing =
  spawnSync('systemd-analyze', ['--version']).status === 0 ? false : 'there is no systemd-analyze here';

/** The units in a folder of their own, with the Node.js that runs this. */
function copied(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'stopgap-units-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const unit of UNITS) {
    cpSync(path.join(ROOT, FOLDER, unit), path.join(folder, unit));
    const written = readFileSync(path.join(folder, unit), 'utf8');
    writeFileSync(path.join(folder, unit), written.replaceAll('/usr/bin/node', process.execPath));
  }
  return folder;
}

describe("systemd's own judgement of the units", { skip: missing }, () => {
  test('finds nothing wrong with any of them', (t) => {
    const folder = copied(t);
    const { stderr, status } = spawnSync(
      'systemd-analyze',
      ['verify', '--man=no', ...UNITS.map((unit) => path.join(folder, unit))],
      { encoding: 'utf8' },
    );
    // It also complains of units of this machine.
    const ours = stderr.split('\n').filter((line) => line.includes('stopgap'));
    assert.deepEqual(ours, []);
    assert.equal(status, 0, stderr);
  });

  for (const unit of UNITS.filter((name) => name.endsWith('.service')))
    test(`counts ${unit} among those that are exposed least`, (t) => {
      const { stdout, stderr, status } = spawnSync(
        'systemd-analyze',
        ['security', '--offline=true', '--threshold=20', path.join(copied(t), unit)],
        { encoding: 'utf8' },
      );
      assert.equal(status, 0, `${stdout.split('\n').slice(-3).join('\n')}${stderr}`);
    });
});

for (const unit of UNITS.filter((name) => name.endsWith('.socket') && !name.includes('sasl')))
  test(`${unit} passes a socket under the name that its configuration has`, () => {
    const written = text(`${FOLDER}/${unit}`);
    const [, name] = /^FileDescriptorName=(.+)$/m.exec(written)!;
    assert.equal(unit, `stopgap-${name}.socket`);
    const [, listen] = /listen: '(.+)'/.exec(written)!;
    assert.deepEqual(asListen(listen, ''), { host: undefined, port: 0, passed: name });
    assert.match(written, /^Service=stopgap\.service$/m);
  });

test('the service may ask which addresses this machine has', () => {
  assert.match(text(`${FOLDER}/stopgap.service`), /^RestrictAddressFamilies=.*\bAF_NETLINK\b/m);
});

test('the service gets the folder of the socket that the setting is explained by', () => {
  const [, folder] = /^RuntimeDirectory=(.+)$/m.exec(text(`${FOLDER}/stopgap.service`)) ?? [];
  assert.ok(text('docs/reference/configuration.md').includes(`unix:/run/${folder}/policy`), folder);
});

test('the documents name each unit', () => {
  const documents = ['install', 'mail-servers'].map((name) => text(`docs/run/${name}.md`)).join('\n');
  for (const unit of UNITS) assert.ok(documents.includes(unit), unit);
});

test('the recipes for mail servers call stopgap where an installation by the documents has it', () => {
  const [, installed] = /ln -s \S+ (\/\S+\/stopgap)\n/.exec(text('docs/run/install.md'))!;
  const called = text('docs/run/mail-servers.md').match(/\/[\w/]+\/bin\/stopgap\b/g)!;
  assert.deepEqual([...new Set(called)], [installed]);
});
