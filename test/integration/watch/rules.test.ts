import assert from 'node:assert/strict';
import { cp, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { workDir } from '../../support/smtp/served.js';
import { runProgram, skipWithout } from '../../support/watch/binaries.js';
import { filesOf, PROMETHEUS, readYaml, REPOSITORY } from '../../support/watch/rules.js';

const skipPrometheus = await skipWithout('promtool');
const skipAlertmanager = await skipWithout('amtool');
const CONFIG = path.join(PROMETHEUS, 'alertmanager.yml');

test('promtool accepts the rules', { skip: skipPrometheus }, async () => {
  const files = filesOf('rules').map((file) => path.join(PROMETHEUS, 'rules', file));
  await runProgram('promtool', ['check', 'rules', '--lint=all', '--lint-fatal', ...files]);
});

test(
  'promtool accepts the example, and what docker-compose.yml mounts',
  { skip: skipPrometheus },
  async (t) => {
    const example = await runProgram('promtool', [
      'check',
      'config',
      path.join(PROMETHEUS, 'prometheus.yml'),
    ]);
    assert.match(example, new RegExp(`${filesOf('rules').length} rule files found`));
    const dir = await workDir(t);
    await mkdir(path.join(dir, 'rules'));
    await cp(path.join(REPOSITORY, 'deploy/prometheus/prometheus.yml'), path.join(dir, 'prometheus.yml'));
    await cp(path.join(PROMETHEUS, 'rules'), path.join(dir, 'rules'), { recursive: true });
    const mounted = await runProgram('promtool', ['check', 'config', path.join(dir, 'prometheus.yml')]);
    assert.match(mounted, new RegExp(`${filesOf('rules').length} rule files found`));
  },
);

for (const file of filesOf('tests')) {
  test(`promtool test rules ${file}`, { skip: skipPrometheus }, async () => {
    await runProgram('promtool', ['test', 'rules', path.join(PROMETHEUS, 'tests', file)]);
  });
}

test('a rule that is wrong does not pass', { skip: skipPrometheus }, async (t) => {
  const dir = await workDir(t);
  await cp(PROMETHEUS, dir, { recursive: true });
  // One that never fires, in place of those that are tested.
  await cp(path.join(PROMETHEUS, 'rules/api.yml'), path.join(dir, 'rules/outbox.yml'));
  await assert.rejects(
    runProgram('promtool', ['test', 'rules', path.join(dir, 'tests/outbox.yml')]),
    /FAILED/,
  );
});

test(
  'amtool accepts the example, and severities lead to their receivers',
  { skip: skipAlertmanager },
  async () => {
    await runProgram('amtool', ['check-config', CONFIG]);
    const receivers = readYaml<{ receivers: { name: string }[] }>('alertmanager.yml').receivers;
    const reached = new Set<string>();
    for (const [labels, receiver] of [
      ['alertname=StopgapStoreDown severity=critical', 'page'],
      ['alertname=StopgapBlockImposed severity=warning', 'ticket'],
      ['alertname=StopgapRulesObserving severity=info', 'notice'],
      ['alertname=StopgapWatchdog severity=none', 'watchdog'],
      ['alertname=OfSomethingElse', 'ticket'],
    ] as const) {
      const args = ['config', 'routes', 'test', `--config.file=${CONFIG}`, '--verify.receivers', receiver];
      await runProgram('amtool', [...args, ...labels.split(' ')]);
      reached.add(receiver);
    }
    assert.deepEqual([...reached].sort(), receivers.map(({ name }) => name).sort());
  },
);
