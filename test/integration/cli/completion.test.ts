import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { ManualClock } from '../../support/manual-clock.js';
import { Terminal } from '../cli-client/support.js';

const has = (shell: string): boolean => spawnSync(shell, ['-c', 'exit 0']).status === 0;

describe('completion', () => {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'stopgap-completion-'));
  after(() => rmSync(folder, { recursive: true }));

  async function scriptOf(shell: string): Promise<string> {
    const terminal = await Terminal.open(new ManualClock());
    const { code, out, err } = await terminal.run('completion', shell);
    await terminal.close();
    assert.equal(code, 0, err);
    const file = path.join(folder, `stopgap.${shell}`);
    writeFileSync(file, out);
    return file;
  }

  /** What bash offers for a line that ends in its last word. */
  function offered(script: string, ...words: string[]): readonly string[] {
    const line = words.map((word) => `'${word}'`).join(' ');
    const ask = `source '${script}'; COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _stopgap; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-c', ask], {
      encoding: 'utf8',
      cwd: folder,
    });
    assert.deepEqual([status, stderr], [0, '']);
    return stdout.split('\n').filter((word) => word !== '');
  }

  test(
    'of bash offers commands, options and the values of an option',
    { skip: !has('bash') && 'no bash' },
    async () => {
      const script = await scriptOf('bash');
      assert.equal(spawnSync('bash', ['-n', script]).status, 0);
      assert.deepEqual(offered(script, 'stopgap', 'blo'), ['block']);
      assert.ok(offered(script, 'stopgap', 'block', '').includes('report'));
      assert.deepEqual(offered(script, 'stopgap', 'block', 'rel'), ['release']);
      assert.deepEqual(offered(script, 'stopgap', 'block', 'list', '--sor'), ['--sort']);
      assert.deepEqual(offered(script, 'stopgap', 'block', 'list', '--wide', '--sort', 'un'), ['until']);
      assert.deepEqual(offered(script, 'stopgap', 'block', 'list', '--state', 'act'), ['active']);
      assert.deepEqual(offered(script, 'stopgap', 'block', 'list', '--type', 'e'), ['ehlo']);
      assert.deepEqual(offered(script, 'stopgap', 'changes', '--type', 'RulesC'), ['RulesChanged']);
      assert.deepEqual(offered(script, 'stopgap', 'block', 'add', 'dom'), ['domain']);
      assert.deepEqual(offered(script, 'stopgap', 'exempt', 'add', 'i'), ['ip']);
      assert.deepEqual(offered(script, 'stopgap', 'completion', 'z'), ['zsh']);
      assert.deepEqual(offered(script, 'stopgap', 'rules', 'shadow', 'pro'), ['promote']);
      assert.deepEqual(offered(script, 'stopgap', 'rules', 'check', '--config', 'stopgap.b'), [
        'stopgap.bash',
      ]);
      assert.deepEqual(offered(script, 'stopgap', 'nothing', 'blo'), ['block']);
    },
  );

  for (const shell of ['zsh', 'fish'])
    test(`of ${shell} is a script that it can read`, { skip: !has(shell) && `no ${shell}` }, async () => {
      const { status, stderr } = spawnSync(shell, ['-n', await scriptOf(shell)], { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
    });

  test('of zsh and fish names every command', async () => {
    const { readFileSync } = await import('node:fs');
    assert.match(
      readFileSync(await scriptOf('zsh'), 'utf8'),
      /^#compdef stopgap$[^]*'stopgap block report'\) found=/m,
    );
    assert.match(
      readFileSync(await scriptOf('fish'), 'utf8'),
      /complete -c stopgap -n '__stopgap_at '\\''stopgap block'\\''' -a 'report' -d '/,
    );
  });

  test('of another shell is refused', async () => {
    const terminal = await Terminal.open(new ManualClock());
    assert.equal((await terminal.run('completion', 'tcsh')).code, 2);
    await terminal.close();
  });
});
