import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { importsOf, impurities, parse, sources } from './imports.js';
import { texts } from './sources.js';

/** The pure core, and what each part may import: of our own folders, and of packages. */
const CORE: Readonly<Record<string, readonly string[]>> = {
  'src/kernel/': ['yaml'],
  'src/sending/': ['src/kernel/', 'node:url', 'ipaddr.js'],
  'src/blocks/': ['src/sending/', 'src/kernel/'],
  'src/overrides/': ['src/blocks/', 'src/sending/', 'src/kernel/', 'zod'],
  'src/rules/': ['src/overrides/', 'src/blocks/', 'src/sending/', 'src/kernel/', 'yaml', 'zod'],
  'src/sessions/': ['src/kernel/'],
  'src/forgetting/': [
    'src/sessions/',
    'src/rules/',
    'src/overrides/',
    'src/blocks/',
    'src/sending/',
    'src/kernel/',
    'node:url',
  ],
  'projections/': [
    'src/sessions/',
    'src/rules/',
    'src/overrides/',
    'src/blocks/',
    'src/sending/',
    'src/kernel/',
    'ipaddr.js',
  ],
};
const CORE_FOLDERS = Object.keys(CORE);

/** Adapters: only who opens them may name what lies in them. */
const ADAPTERS = /^src\/(store\/(sqlite|kurrentdb)|expiry\/(timers|bullmq))(\/|\.ts$)/;

/** The files that open the store: for the server, and for programs that only read. */
const OPENERS = ['src/adapters.ts', 'src/store/open-for-reading.ts'];

/**
 * What others may name of the SMTP edge: how a relay's URL reads and what a relay is (configuration, gauges), and
 * the words that a refused client hears (the API tells administrators). Of the API: what its clients send and get.
 */
const SHARED = [
  'src/smtp/relay/url.ts',
  'src/smtp/relay/port.ts',
  'src/smtp/replies.ts',
  'src/api/openapi-types.ts',
  'src/api/openapi-calls.ts',
];

/** Edges: nothing below them may know them. */
const EDGES = /^src\/(smtp|policy|api|web|cli|main\.ts|app\.ts|adapters\.ts)/;

const all = sources('src', 'projections');
const inCore = all.filter(({ file }) => CORE_FOLDERS.some((folder) => file.startsWith(folder)));

function offences(list: typeof all, offends: (file: string, name: string) => boolean): readonly string[] {
  return list.flatMap(({ file, imports }) =>
    imports.filter((name) => offends(file, name)).map((name) => `${file} imports ${name}`),
  );
}

describe('imports', () => {
  test('are found in every form', () => {
    const text = `import a from './a.js'; import type { B } from '../b.js'; export * from 'c';
      export { d } from "node:d"; const e = await import('./e.js'); type F = import('./f.js').F;
      import './g.js'; const h = await import(name);`;
    assert.deepEqual(importsOf('src/x/y.ts', text), [
      'src/x/a.ts',
      'src/b.ts',
      'c',
      'node:d',
      'src/x/e.ts',
      'src/x/f.ts',
      'src/x/g.ts',
      '(computed)',
    ]);
    assert.ok(inCore.length > 20, 'the sources were found');
    assert.ok(all.flatMap(({ imports }) => imports).length > 100, 'and their imports');
  });

  test('of the pure core point downwards, and to no I/O', () => {
    const found = offences(inCore, (file, name) => {
      const home = CORE_FOLDERS.find((folder) => file.startsWith(folder))!;
      return ![home, ...CORE[home]!].some((allowed) =>
        allowed.endsWith('/') ? name.startsWith(allowed) : name === allowed,
      );
    });
    assert.deepEqual(found, []);
  });

  test('name an adapter only where adapters are opened', () => {
    const found = offences(all, (file, name) => {
      const folder = ADAPTERS.exec(name)?.[0];
      return (
        folder !== undefined &&
        !file.startsWith(folder) &&
        !OPENERS.includes(file) &&
        !file.startsWith('src/cli/')
      );
    });
    assert.deepEqual(found, []);
  });

  test('of the store, expiry and accounts reach no edge, not even what is shared of it', () => {
    const lower = all.filter(({ file }) => /^src\/(store|expiry|accounts)\//.test(file));
    assert.ok(lower.length > 5);
    assert.deepEqual(
      offences(lower, (_file, name) => EDGES.test(name)),
      [],
    );
  });

  test('of what serves every part reach no edge', () => {
    const lower = all.filter(({ file }) =>
      /^src\/(store|expiry|metrics|config|accounts|import)\b/.test(file),
    );
    assert.ok(lower.length > 5);
    assert.deepEqual(
      offences(lower, (_file, name) => EDGES.test(name) && !SHARED.includes(name)),
      [],
    );
  });

  test('of one edge reach no other, nor the composition root', () => {
    const edgeOf = (name: string): string | undefined => /^src\/(smtp|policy|api|web)\//.exec(name)?.[1];
    const found = offences(all, (file, name) => {
      const home = edgeOf(file);
      if (home === undefined || SHARED.includes(name)) return false;
      const other = edgeOf(name);
      return (
        (other !== undefined && other !== home) || /^src\/(app|adapters|main)\.ts$|^src\/cli\//.test(name)
      );
    });
    assert.deepEqual(found, []);
  });

  test('form no circle between files', () => {
    const known = new Map(all.map(({ file, imports }) => [file, imports]));
    const done = new Set<string>();
    const circles: string[] = [];
    const walk = (file: string, trail: readonly string[]): void => {
      if (trail.includes(file)) circles.push([...trail.slice(trail.indexOf(file)), file].join(' -> '));
      if (done.has(file) || trail.includes(file)) return;
      for (const next of known.get(file) ?? []) walk(next, [...trail, file]);
      done.add(file);
    };
    for (const { file } of all) walk(file, []);
    assert.deepEqual(circles, []);
  });
});

test('no alarm for a span from now on goes by the wall clock, which somebody may set', () => {
  const offends = (text: string): boolean => /clock\.wakeAt\([^;]*?\bnow(\(\))? \+/.test(text);
  assert.ok(offends('clock.wakeAt(clock.now() + SECOND, ring)'), 'it would be found');
  assert.deepEqual(
    texts('src')
      .filter(({ text }) => offends(text))
      .map(({ file }) => file),
    [],
  );
});

describe('the pure core', () => {
  test('reads no clock, rolls no dice, waits for nothing', () => {
    assert.deepEqual(
      inCore.flatMap(({ file, text }) => impurities(parse(file, text))),
      [],
    );
  });

  test('would be caught at it', () => {
    const text = `Date.now(); new Date(); Math.random(); setTimeout(f, 1); process.env.X; performance.now();
      new Date(at); Date.parse(text); x.setTimeout;`;
    assert.equal(impurities(parse('x.ts', text)).length, 6);
  });
});
