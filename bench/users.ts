import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { hashPassword } from '../src/accounts/passwords.js';
import { isMain, median, print } from './report.js';
import type { Report } from './report.js';

const USERS = 100_000;
const ROUNDS = 5;
const MAIN = fileURLToPath(new URL('../src/main.js', import.meta.url));

/** `stopgap user add`, where there are many users, beside one user. */
export async function run(): Promise<Report> {
  const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-users-'));
  try {
    const hash = await hashPassword('correct horse battery staple', { ln: 4, r: 1, p: 1 });
    const user = (n: number): string =>
      `  - name: user${n}@customer${n % 1000}.example.com\n    password: ${hash}\n    addedAt: 2026-01-02T03:04:05.678Z\n`;
    const took = { few: [] as number[], many: [] as number[] };
    for (const [name, count] of [
      ['few', 1],
      ['many', USERS],
    ] as const) {
      const text = Array.from({ length: count }, (_, n) => user(n)).join('');
      await writeFile(path.join(directory, `${name}.yaml`), `users:\n${text}`);
      await writeFile(
        path.join(directory, `${name}.config.yaml`),
        `data: ./data\nsmtp: { hostname: a.test, auth: { users: ./${name}.yaml }, relay: { url: 'smtp://127.0.0.1:1' } }\n`,
      );
    }
    for (let round = 0; round < ROUNDS; round++)
      for (const name of ['few', 'many'] as const) {
        const start = performance.now();
        await add(directory, name, `new${round}@example.com`);
        took[name].push(performance.now() - start);
      }
    const [few, many] = [median(took.few), median(took.many)];
    return {
      name: `users: stopgap user add, the whole command`,
      rows: [
        { label: 'one user', value: `${few.toFixed(0)} ms` },
        {
          label: `${USERS.toLocaleString('en')} users`,
          value: `${many.toFixed(0)} ms, ${(many / few).toFixed(1)} times as long`,
          target: 'at most 1,000 ms, or 3 times',
          ok: many <= Math.max(1000, 3 * few),
        },
      ],
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function add(directory: string, name: string, user: string): Promise<void> {
  const args = ['user', 'add', user, '--password-stdin', '--config', `${name}.config.yaml`];
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: directory,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.stdin.end('correct horse battery staple');
  const [code] = (await once(child, 'exit')) as [number];
  if (code !== 0) throw new Error(`user add ended with ${code}`);
}

if (isMain(import.meta.url)) print(await run());
