import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/*
 * Runs the tests: all of them, or those whose path contains one of the arguments.
 *
 *   npm test
 *   npm test -- unit contract/store
 */
const here = path.dirname(fileURLToPath(import.meta.url));
const sources = path.resolve(here, '../../test');
const wanted = process.argv.slice(2);

const files = readdirSync(here, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.js'))
  // tsc leaves the output of sources that are gone.
  .filter((file) => existsSync(path.join(sources, file.replace(/\.js$/, '.ts'))))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();

if (files.length === 0) {
  process.stderr.write(`no test matches ${wanted.join(' ')}\n`);
  process.exit(2);
}
const args = ['--test', '--test-reporter=spec', '--test-concurrency=2', '--enable-source-maps'];
const child = spawn(process.execPath, [...args, ...files.map((file) => path.join(here, file))], {
  stdio: 'inherit',
});
child.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)));
