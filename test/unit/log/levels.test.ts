import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pino } from 'pino';
import { LogLevels } from '../../../src/log/levels.js';

interface Line {
  readonly component: string;
  readonly msg: string;
  readonly logLevel?: string;
  readonly by?: string;
  readonly scope?: string;
}

function levelsAt(level: string): { levels: LogLevels; lines: Line[] } {
  const lines: Line[] = [];
  const sink = { write: (line: string) => void lines.push(JSON.parse(line) as Line) };
  return { levels: new LogLevels(pino({ level, base: undefined }, sink)), lines };
}

describe('levels', () => {
  test('are those of the configuration at first, for all', () => {
    const { levels, lines } = levelsAt('info');
    levels.of('smtp').debug('no');
    levels.of('smtp').info('yes');
    assert.deepEqual(
      lines.map(({ component, msg }) => [component, msg]),
      [['smtp', 'yes']],
    );
    assert.deepEqual([levels.level, levels.configured, levels.exceptions], ['info', 'info', {}]);
  });

  test('change for loggers that are in use already, and the change is told', () => {
    const { levels, lines } = levelsAt('info');
    const smtp = levels.of('smtp');
    levels.set('debug', 'admin:me', undefined, 'request:1');
    smtp.debug('yes');
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ['the log level was changed', 'yes'],
    );
    assert.deepEqual([lines[0]!.logLevel, lines[0]!.by], ['debug', 'admin:me']);
    assert.deepEqual([levels.level, levels.configured], ['debug', 'info']);
  });

  test('of one component change alone, until all change', () => {
    const { levels, lines } = levelsAt('info');
    levels.set('trace', 'admin:me', 'smtp');
    assert.deepEqual(levels.exceptions, { smtp: 'trace' });
    assert.equal(lines[0]!.scope, 'smtp');
    levels.of('smtp').trace('yes');
    levels.of('api').debug('no');
    assert.equal(lines.filter(({ msg }) => msg === 'yes' || msg === 'no').length, 1);
    levels.set('info', 'admin:me', 'smtp');
    assert.deepEqual(levels.exceptions, {}, 'like all others again');
    levels.set('trace', 'admin:me', 'smtp');
    levels.set('warn', 'admin:me');
    assert.deepEqual([levels.level, levels.exceptions], ['warn', {}]);
    assert.equal(levels.of('smtp').level, 'warn');
  });

  test('that silence are told before, and those that end silence after', () => {
    const { levels, lines } = levelsAt('info');
    levels.set('silent', 'admin:me');
    assert.equal(lines.length, 1);
    levels.set('error', 'admin:me');
    assert.equal(lines.length, 1, 'nothing at info is heard');
    levels.set('info', 'admin:me');
    assert.equal(lines.length, 2);
  });

  test('toggle between debug and what is configured', () => {
    const { levels } = levelsAt('warn');
    levels.toggleDebug('signal:SIGUSR2');
    assert.equal(levels.of('api').level, 'debug');
    levels.toggleDebug('signal:SIGUSR2');
    assert.equal(levels.of('api').level, 'warn');
    const loud = levelsAt('debug').levels;
    loud.toggleDebug('signal:SIGUSR2');
    assert.equal(loud.level, 'info');
    loud.toggleDebug('signal:SIGUSR2');
    assert.equal(loud.level, 'debug');
  });
});
