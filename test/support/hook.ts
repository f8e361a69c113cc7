import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import type { HookCall } from '../../src/hooks/call.js';
import { eventually } from './smtp/eventually.js';

const TEXT = `#!${process.execPath}
const fs = require('node:fs');
const dir = require('node:path').dirname(__filename);
const input = fs.readFileSync(0, 'utf8');
const { action, account, queueIds } = JSON.parse(input);
fs.appendFileSync(dir + '/calls', input);
const act = () => {
  const word = { 'hold-queue': 'held', release: 'released', delete: 'deleted' }[action];
  // As if these had left the queue.
  const lacks = (id) => id.endsWith('GONE') || (id.endsWith('LATE') && fs.existsSync(dir + '/early'));
  for (const id of queueIds) if (!lacks(id)) console.log(word + ' ' + id);
};
const waiting = () => fs.existsSync(dir + '/waits') ? setTimeout(waiting, 20) : act();
// It outlives a caller that is killed, but not the test.
if (fs.existsSync(dir + '/hangs')) setInterval(() => fs.existsSync(dir + '/hangs') || process.exit(1), 20);
else if (fs.existsSync(dir + '/broken') || (account !== 'alice@example.com' && fs.existsSync(dir + '/half')) || (action === 'release' && fs.existsSync(dir + '/keeps'))) {
  console.error('the queue is away');
  process.exit(3);
} else waiting();
`;

/** A program as the hook, which keeps what it was called with. */
export class FakeHook {
  /** What `hooks.run` names. */
  readonly file: string;
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
    this.file = path.join(dir, 'hook');
  }

  static async make(t: Pick<TestContext, 'after'>): Promise<FakeHook> {
    const hook = new FakeHook(await mkdtemp(path.join(tmpdir(), 'stopgap-hook-')));
    t.after(() => rm(hook.#dir, { recursive: true, force: true }));
    await writeFile(hook.file, TEXT);
    await chmod(hook.file, 0o755);
    return hook;
  }

  /** From now on it fails, or fails but for Alice, or fails to release, or never answers, or waits, or comes too early for what ends in `LATE`, or works. */
  async becomes(mood: 'broken' | 'half' | 'keeps' | 'hangs' | 'waits' | 'early' | 'well'): Promise<void> {
    for (const each of ['broken', 'half', 'keeps', 'hangs', 'waits', 'early'])
      await rm(path.join(this.#dir, each), { force: true });
    if (mood !== 'well') await writeFile(path.join(this.#dir, mood), '');
  }

  async calls(): Promise<readonly HookCall[]> {
    const text = await readFile(path.join(this.#dir, 'calls'), 'utf8').catch(() => '');
    // The last line may be half written.
    const lines = text.split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as HookCall);
  }

  /** Resolves once it was called so often. */
  async called(times: number): Promise<readonly HookCall[]> {
    await eventually(`the hook was called ${times} times`, async () => (await this.calls()).length >= times);
    return this.calls();
  }
}
