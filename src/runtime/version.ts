import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

interface Package {
  readonly version: string;
  readonly engines: { readonly node: string };
  readonly dependencies: Readonly<Record<string, string>>;
}

const ROOT = new URL('../../../', import.meta.url);

/** Of this Stopgap: what package.json says. */
export function ownPackage(): Package {
  return JSON.parse(readFileSync(new URL('package.json', ROOT), 'utf8')) as Package;
}

/** `0.2.0 (commit 0123456789ab)`. */
export function ownVersion(): string {
  const commit = commitOfClone() ?? commitOfBuild();
  return `${ownPackage().version} (${commit === undefined ? 'unknown commit' : `commit ${commit}`})`;
}

/** With `-dirty` where files differ from it. Undefined outside a clone, and if there is no git. */
function commitOfClone(): string | undefined {
  if (!existsSync(new URL('.git', ROOT))) return undefined;
  try {
    const args = ['describe', '--always', '--dirty', '--abbrev=12', '--exclude=*'];
    return execFileSync('git', args, {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return undefined;
  }
}

/** As scripts/after-build.mjs has written it. */
function commitOfBuild(): string | undefined {
  try {
    return readFileSync(new URL('dist/commit', ROOT), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}
