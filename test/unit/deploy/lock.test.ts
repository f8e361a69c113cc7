import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

interface Locked {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

test('the lock file has every package that another asks for, or `npm ci` refuses to begin', () => {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Readonly<Record<string, Locked>>;
  };
  const missing: string[] = [];
  for (const [place, { dependencies, optionalDependencies }] of Object.entries(packages))
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies }))
      if (!isFound(packages, place, name)) missing.push(`${name}, for ${place}`);
  assert.deepEqual(missing, []);
});

/** As Node looks for a package: beside the one that asks, then in each folder above. */
function isFound(packages: object, place: string, name: string): boolean {
  for (let from = place; ; from = from.slice(0, Math.max(from.lastIndexOf('/node_modules/'), 0))) {
    if (path.posix.join(from, 'node_modules', name) in packages) return true;
    if (from === '') return false;
  }
}
