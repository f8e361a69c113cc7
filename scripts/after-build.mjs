// What tsc leaves to be done. It writes plain files: the command line must be executable to be linked as `stopgap`. It
// leaves what it made of a source that is gone, which a test run or a package would take along. And a package and an
// image have no repository beside them, so the commit that they were built from is written down.
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const dist = path.join(root, 'dist');

// The page is not of tsc: scripts/build-page.mjs makes it.
const compiled = readdirSync(dist, { withFileTypes: true }).filter(
  (entry) => entry.isDirectory() && entry.name !== 'page',
);
for (const { name } of compiled) {
  for (const file of readdirSync(path.join(dist, name), { recursive: true })) {
    const [, source] = /^(.*)\.js(?:\.map)?$/.exec(path.join(name, file)) ?? [];
    if (source !== undefined && !existsSync(path.join(root, `${source}.ts`)))
      rmSync(path.join(dist, name, file));
  }
}

chmodSync(path.join(dist, 'src/main.js'), 0o755);

const commit = process.env.STOPGAP_COMMIT || commitOfClone();
if (commit) writeFileSync(path.join(dist, 'commit'), `${commit}\n`);
else rmSync(path.join(dist, 'commit'), { force: true });

function commitOfClone() {
  if (!existsSync(path.join(root, '.git'))) return undefined;
  try {
    const args = ['describe', '--always', '--dirty', '--abbrev=12', '--exclude=*'];
    const options = { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    return execFileSync('git', args, options).trim();
  } catch {
    return undefined;
  }
}
