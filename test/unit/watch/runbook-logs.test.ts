import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { documentedLines, lookUpOf, mayWrite, optionOf } from '../../support/watch/log-lines.js';
import { REPOSITORY } from '../../support/watch/rules.js';
import { INTRODUCTION, runbooks, stopgapCallsOf, unitsOf } from '../../support/watch/runbooks.js';

const lines = documentedLines();
const logging = readFileSync(path.join(REPOSITORY, 'docs/reference/logging.md'), 'utf8').replace(/\s+/g, ' ');
/** Notices and reasons: texts in fields that docs/reference/logging.md does not list. */
const IN_FIELDS = ['a subscription was lost and is taken up again'];
const pages = runbooks();

test('lines of the log are looked for in many runbooks', () => {
  const asking = pages.filter(({ pipelines }) => pipelines.some((one) => lookUpOf(one) !== undefined));
  assert.ok(asking.length > 20);
});

test('operating.md names lines of the log that there are', () => {
  const text = readFileSync(path.join(REPOSITORY, 'docs/run/operating.md'), 'utf8');
  const named = [...text.matchAll(/\blog: ((?:`[^`]+`(?:, )?)+)/g)].flatMap(([, list]) =>
    [...list!.matchAll(/`([^`]+)`/g)].map(([, line]) => line!.replace(/[: ]*…$/, '')),
  );
  assert.ok(named.length >= 4, named.join());
  for (const line of named) assert.ok(logging.includes(line), line);
});

describe('a runbook', () => {
  for (const { name, text, pipelines, commands } of pages) {
    const lookUps = pipelines.flatMap((pipeline) => lookUpOf(pipeline) ?? []);
    const foundBy = new Map(lookUps.map((one) => [one, lines.filter(one.finds)]));

    test(`${name} looks for lines that there are, in the logs of processes that write them`, () => {
      for (const [{ command, roles }, found] of foundBy) {
        assert.notDeepEqual(found, [], `${command}: there is no such line`);
        const written = found.filter((line) => roles.length === 0 || mayWrite(roles, line));
        assert.notDeepEqual(written, [], `${command}: these processes do not write it`);
      }
    });

    test(`${name} looks for the same lines by systemd and with Compose`, () => {
      const told = (form: 'systemd' | 'compose') =>
        [...foundBy]
          .filter(([one]) => one.form === form)
          .map(([{ roles }, found]) => ({ roles, found: found.map((line) => line.text) }))
          .sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
      assert.deepEqual(told('systemd'), told('compose'));
    });

    test(`${name} looks by systemd in both forms, unless one has no such process`, () => {
      const hasOutbox = /^Stopgap(Outbox|Events|RedisDown|ProjectionLate)/.test(name);
      for (const command of commands) {
        const units = unitsOf(command);
        if (command[0] !== 'journalctl' || units.length === 0 || hasOutbox || name === INTRODUCTION) continue;
        assert.ok(units.includes('stopgap'), `${command.join(' ')}: not the one process`);
        assert.ok(
          units.some((unit) => unit.includes('@')),
          `${command.join(' ')}: no unit of a role`,
        );
      }
    });

    test(`${name} asks only an API what it has logged`, () => {
      for (const call of stopgapCallsOf(commands)) {
        if (call[0] !== 'log' || name === INTRODUCTION) continue;
        assert.equal(
          optionOf('--component', call),
          'api',
          `stopgap ${call.join(' ')}: speaks for an API alone`,
        );
        const level = optionOf('--level', call);
        const found = lines.some((line) => line.component === 'api' && line.level === (level ?? line.level));
        assert.ok(found, call.join(' '));
      }
    });

    test(`${name} quotes lines as they are`, () => {
      const quoted = [
        ...text.matchAll(/`((?:an?|the|rules|circuit) [^`]+)`/g),
        ...text.matchAll(/^ *(?:.* )?# .*?"([^"]+)"/gm),
      ].map(([, quote]) => quote!.replace(/\s+/g, ' '));
      for (const quote of quoted)
        for (const part of quote.split(/:? …/).filter((one) => /^\w+ \w+/.test(one)))
          assert.ok(logging.includes(part) || IN_FIELDS.includes(part), `"${part}" is no line of the log`);
    });
  }
});
