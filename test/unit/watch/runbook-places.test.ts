import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import Database from 'better-sqlite3';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { systemClock } from '../../../src/runtime/system-clock.js';
import { composeForm, systemdForm } from '../../support/watch/forms.js';
import { REPOSITORY } from '../../support/watch/rules.js';
import { composeCallOf, matching, runbooks, unitsOf } from '../../support/watch/runbooks.js';

const { services, processes, published } = composeForm();
const { units, submission } = systemdForm();
/** Of other packages, as Debian calls them. */
const OTHER_UNITS = ['prometheus', 'prometheus-alertmanager'];
const FOLDERS = new Set(
  [...units.keys()].map((unit) => `/var/lib/${unit.replace('@', '-')}`).concat('/var/lib/stopgap*'),
);
/** By host the ports at which something answers there. */
const PORTS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['127.0.0.1', new Set([...published, ...[...units.values()].map(({ port }) => port)])],
  ['mx.example.com', submission],
  ...[...processes].map(([name, { port }]): [string, Set<string>] => [name, new Set([port])]),
]);
const routes = [
  ...readFileSync(path.join(REPOSITORY, 'docs/reference/api.md'), 'utf8').matchAll(
    /^### \w+ (\/api\/v1\S*)$/gm,
  ),
].map(([, route]) => new RegExp(`^${route!.replace(/\{\w+\}/g, '[^/]+')}$`));

test('the forms are what they are taken for', () => {
  assert.deepEqual([...units.keys()].sort(), [
    'stopgap',
    ...['stopgap@api', 'stopgap@detector', 'stopgap@smtp-1', 'stopgap@worker'],
  ]);
  assert.equal(
    new Set([...units.values()].map(({ port }) => port)).size,
    4,
    'the API is where one process is',
  );
  assert.ok(processes.size >= 5 && services.size > processes.size && submission.size === 2);
  const enabled = /`systemctl enable --now ([^`]+)`/.exec(
    readFileSync(path.join(REPOSITORY, 'docs/run/deploy.md'), 'utf8'),
  )![1]!;
  assert.deepEqual(
    enabled.split(' ').sort(),
    [...units.keys()].filter((unit) => unit.includes('@')).sort(),
    'each instance has its settings, and each that has settings is started',
  );
});

describe('a runbook', () => {
  for (const { name, text, commands } of runbooks()) {
    test(`${name} names units and services that there are`, () => {
      for (const command of commands) {
        for (const unit of unitsOf(command))
          assert.ok(matching(unit, [...units.keys(), ...OTHER_UNITS]).length > 0, `no unit ${unit}`);
        for (const service of composeCallOf(command)?.services ?? [])
          assert.ok(services.has(service), `${command.join(' ')}: no service ${service}`);
      }
      for (const [, unit] of text.matchAll(/`(stopgap@[\w-]+)`/g)) assert.ok(units.has(unit!), unit);
      for (const [, service] of text.matchAll(/\bstopgap-([a-z0-9-]+)-1\b(?![\w/-])/g))
        if (!FOLDERS.has(`/var/lib/stopgap-${service}-1`)) assert.ok(services.has(service!), service);
    });

    test(`${name} names ports at which something answers, and routes of the API`, () => {
      for (const word of commands.flat()) {
        for (const [, host, port, target] of word.matchAll(/(?:^|\/\/)([\w.-]+):(\d+)(\/[^?]*)?/g)) {
          assert.ok(PORTS.get(host!)?.has(port!), `${word}: nothing is at ${host}:${port}`);
          const isOurs = processes.get(host!)?.port === port || ['8025', '8031', '8032'].includes(port!);
          if (!isOurs || target === undefined) continue;
          const isThere = target === '/healthz' || routes.some((route) => route.test(target));
          assert.ok(isThere, `${word}: there is no ${target}`);
        }
        for (const [, port] of word.matchAll(/\bsport = :(\d+)/g))
          assert.ok(PORTS.get('127.0.0.1')!.has(port!), `${word}: nobody listens at ${port}`);
      }
    });

    test(`${name} names folders and files that a form has`, () => {
      for (const [folder] of text.matchAll(/\/var\/lib\/stopgap(?:-[a-z]+-?\d*)?\*?/g))
        assert.ok(FOLDERS.has(folder), folder);
      for (const [, instance] of text.matchAll(/\/etc\/stopgap\/([a-z0-9-]+)\.env/g))
        assert.ok(units.has(`stopgap@${instance}`), instance);
      for (const [, unit] of text.matchAll(/\/run\/credentials\/(stopgap@[a-z0-9-]+)\.service/g))
        assert.ok(units.has(unit!), unit);
    });
  }
});

test('what runbooks ask an SQLite store can be asked', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'stopgap-runbooks-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = path.join(dir, 'events.db');
  await (await openSqliteStore({ file, clock: systemClock })).close();
  const database = new Database(file, { readonly: true });
  t.after(() => database.close());
  const asked = runbooks().flatMap(({ commands }) => commands.filter(([first]) => first === 'sqlite3'));
  const questions = asked.filter((words) => words.length > 1);
  assert.ok(questions.length >= 2);
  for (const words of questions) {
    assert.ok(words.includes('-readonly'), words.join(' '));
    assert.ok(words.includes('/var/lib/stopgap/events.db'), words.join(' '));
    database.prepare(words.at(-1)!.replace('POSITION', '1')).all();
  }
});
