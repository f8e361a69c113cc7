import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { ConfigError } from '../../../src/accounts/problems.js';
import { HOUR, MINUTE, formatInstant } from '../../../src/kernel/time.js';
import { OverrideCommandHandler } from '../../../src/commands/override-commands.js';
import { OverridesFile } from '../../../src/commands/overrides-file.js';
import type { OverrideEntry } from '../../../src/overrides/model.js';
import { ReadModels } from '../../../src/detector/read-models.js';
import { StoreUnavailable } from '../../../src/store/port.js';
import type { EventStore } from '../../../src/store/port.js';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { account } from '../../support/overrides.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';
import { changed } from '../../support/store/changed.js';

const fileOf = (...entries: readonly string[]) => `version: 1\noverrides: [${entries.join(',')}]\n`;
const entry = (name: string, more: string) =>
  `{ subject: { type: account, value: ${name}@example.com }, ${more} }`;

interface World {
  readonly store: EventStore;
  readonly models: ReadModels;
  readonly overrideCommands: OverrideCommandHandler;
  readonly clock: ManualClock;
  readonly lines: string[];
  readonly refusals: string[];
  readonly file: OverridesFile;
  /** Replaces the file as a whole, as a tool does, and waits until it was looked at. */
  write(text: string): Promise<void>;
  /** The limit of a rule whose own is 100. */
  limit(name: string, rule?: string): number | null;
  types(name: string): Promise<string[]>;
}

/** A file, a real store, and read models that follow it. */
async function begin(
  context: TestContext,
  text: string,
  through: (store: EventStore) => EventStore = (store) => store,
): Promise<World> {
  const directory = temporaryDirectory(context);
  const place = path.join(directory, 'overrides.yaml');
  writeFileSync(place, text);
  const clock = new ManualClock();
  const store = await openSqliteStore({ file: path.join(directory, 'events.db'), clock });
  context.after(() => store.close());
  const nothing = (): void => undefined;
  const models = new ReadModels({
    onVerdict: nothing,
    onBlockEvent: nothing,
    onRulesChanged: nothing,
    onSkipped: (_event, reason) => assert.fail(reason),
  });
  await models.follow(store);
  context.after(() => models.stop());
  const overrideCommands = new OverrideCommandHandler(through(store), clock);
  const [lines, refusals]: string[][] = [[], []];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines!.push(line) });
  const metrics = { fileRefused: (what: string) => void refusals!.push(what) };
  const file = await OverridesFile.open({ path: place, overrideCommands, models, clock, log, metrics });
  context.after(() => file.stop());
  await file.start();
  return {
    store,
    models,
    overrideCommands,
    clock,
    file,
    lines: lines!,
    refusals: refusals!,
    async write(next) {
      writeFileSync(`${place}.new`, next);
      renameSync(`${place}.new`, place);
      await file.check();
    },
    limit: (name, rule = 'burst') =>
      models.overrides.limit(rule, 'account', `${name}@example.com`, 100, clock.now()),
    async types(name) {
      const found: string[] = [];
      for await (const { type, by } of store.readStream(`override-account:${name}@example.com`)) {
        found.push(`${type} ${by}`);
      }
      return found;
    },
  };
}

test('what the file says holds at the start, and a changed file within seconds', async (context) => {
  const world = await begin(context, fileOf(entry('a', 'factor: 2'), entry('b', 'limits: { burst: 7 }')));
  assert.deepEqual([world.limit('a'), world.limit('b')], [200, 7]);
  assert.match(
    world.lines[0]!,
    /"set":2,"removed":0,"unchanged":0,"unused":1,"msg":"the overrides file is in force"/,
  );
  await world.write(
    fileOf(entry('a', 'factor: 2'), entry('b', 'limits: { burst: 8 }'), entry('c', 'factor: 3')),
  );
  assert.deepEqual([world.limit('a'), world.limit('b'), world.limit('c')], [200, 8, 300]);
  assert.deepEqual(
    await world.types('a'),
    ['OverrideSet system:overrides-file'],
    'what did not change is not written',
  );
  await world.write(fileOf(entry('c', 'factor: 3')));
  assert.deepEqual([world.limit('a'), world.limit('b'), world.limit('c')], [100, 100, 300]);
  assert.deepEqual((await world.types('b')).at(-1), 'OverrideRemoved system:overrides-file');
  await world.write(fileOf());
  assert.equal(world.models.overrides.size, 0);
});

test('what the API has set is stronger, and no change of the file touches it', async (context) => {
  const world = await begin(context, fileOf(entry('a', 'limits: { burst: 7, day: 8 }')));
  const set: OverrideEntry = {
    subject: account('a@example.com'),
    terms: { limits: { burst: 900 } },
    until: null,
  };
  const { position: version } = await world.overrideCommands.execute(
    { kind: 'set', origin: 'api', ...set },
    { by: 'admin:panel' },
  );
  await world.models.reached(version);
  assert.deepEqual([world.limit('a'), world.limit('a', 'day')], [900, 8]);
  await world.write(fileOf(entry('a', 'limits: { burst: 6 }')));
  assert.deepEqual([world.limit('a'), world.limit('a', 'day')], [900, 100]);
  await world.write(fileOf());
  assert.equal(world.limit('a'), 900);
});

test('a bad file stops the start; later it is refused, and what was in force stays', async (context) => {
  await assert.rejects(begin(context, fileOf(entry('a', 'factor: 0'))), (thrown) => {
    assert.ok(thrown instanceof ConfigError);
    assert.match(thrown.message, /overrides\.yaml:2:\d+: overrides\[0\]\.factor: must be at least 0\.1/);
    return true;
  });
  const world = await begin(context, fileOf(entry('a', 'factor: 2')));
  await world.write(fileOf(entry('a', 'factor: 3'), entry('b', 'factor: many')));
  assert.deepEqual([world.limit('a'), world.limit('b')], [200, 100], 'none of it');
  assert.match(world.lines.at(-1)!, /overrides\[1\]\.factor.*"msg":"a file was refused/);
  assert.deepEqual(world.refusals, ['overrides']);
  await world.write('');
  assert.equal(world.limit('a'), 200, 'an empty file is no wish to remove all');
  await world.write(fileOf(entry('a', 'factor: 4')));
  assert.equal(world.limit('a'), 400);
});

test('a file that was refused and is as before is told in the log', async (context) => {
  const text = fileOf(entry('a', 'factor: 2'));
  const world = await begin(context, text);
  await world.write(fileOf(entry('a', 'factor: many')));
  assert.match(world.lines.at(-1)!, /"msg":"a file was refused/);
  await world.write(text);
  assert.match(world.lines.at(-1)!, /"what":"overrides","msg":"a file that was refused can be used again/);
  const told = world.lines.length;
  await world.write(`${text}# touched\n`);
  assert.equal(world.lines.length, told, 'once');
});

test('an entry whose time is over keeps nobody from starting, and is cleared away', async (context) => {
  const clock = new ManualClock();
  const [past, soon] = [-HOUR, HOUR].map((span) => formatInstant(clock.now() + span));
  const text = fileOf(entry('a', `factor: 2, until: '${past}'`), entry('b', `factor: 2, until: '${soon}'`));
  const world = await begin(context, text);
  assert.deepEqual([world.limit('a'), world.limit('b')], [100, 200]);
  assert.deepEqual(await world.types('a'), []);
  world.clock.advance(2 * HOUR);
  assert.equal(world.limit('b'), 100);
  await world.write(`${text}# touched\n`);
  assert.deepEqual((await world.types('b')).at(-1), 'OverrideRemoved system:overrides-file');
});

test('changes that the store does not take are tried again', async (context) => {
  let away = false;
  const world = await begin(context, fileOf(), (store) => {
    return changed(store, {
      append: (...given) => {
        if (away) throw new StoreUnavailable('away');
        return store.append(...given);
      },
    });
  });
  away = true;
  await world.write(fileOf(entry('a', 'factor: 2')));
  assert.equal(world.limit('a'), 100);
  assert.match(world.lines.at(-1)!, /"msg":"overrides of the file could not be recorded; it is tried again"/);
  away = false;
  world.clock.advance(MINUTE);
  await world.file.check();
  assert.equal(world.limit('a'), 200);
});

test('a file that was cut is not in force until an administrator says so', async (context) => {
  const many = Array.from({ length: 12 }, (_, n) => entry(`n${n}`, 'factor: 2'));
  const world = await begin(context, fileOf(...many));
  for (const left of [many.slice(0, 2), []]) {
    await world.write(fileOf(...left));
    // The inode of a file that is gone may be used again: then a shorter content must look the same twice.
    await world.file.check();
    assert.equal(world.models.overrides.size, 12);
  }
  assert.deepEqual(world.refusals, ['overrides', 'overrides']);
  const warning = JSON.parse(world.lines.at(-1)!) as Record<string, unknown>;
  assert.equal(warning['level'], 40);
  assert.equal(warning['msg'], 'a file has lost most of its entries; what was in force stays');
  assert.match(String(warning['faults']), /overrides\.yaml has 0 entries, and 12 are in force: /);
  await world.file.reload();
  assert.equal(world.models.overrides.size, 0);
});
