import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import type { CliIo } from '../../../src/cli/io.js';
import { run } from '../../../src/cli/program.js';
import { HOUR, SECOND } from '../../../src/kernel/time.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';
import { line, series } from './traces.js';

export const START = Date.UTC(2027, 0, 4, 8);
const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 5, then: block, for: 1h }
`;
export const LINES = [
  ...series({ at: START }, 20, SECOND),
  { at: START + 2 * HOUR, account: 'bert@example.com' },
].map(line);

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

interface Given {
  readonly cwd: string;
  readonly input?: Buffer | string;
  readonly terminal?: boolean;
}

/** `stopgap backtest` with these arguments, in this process; its clock goes on by a second at each look. */
export function stopgap(given: Given, ...args: string[]): Promise<Result> {
  return stopgapVerb(given, 'backtest', ...args);
}

/** Any verb, in the same way. */
export async function stopgapVerb(
  { cwd, input = '', terminal = false }: Given,
  ...args: string[]
): Promise<Result> {
  const texts = { out: '', err: '' };
  const sink = (name: 'out' | 'err'): PassThrough =>
    Object.assign(
      new PassThrough().on('data', (chunk: Buffer) => (texts[name] += chunk.toString())),
      { isTTY: terminal },
    );
  let now = 0;
  const io: CliIo = {
    stdin: Readable.from([Buffer.from(input)]) as unknown as NodeJS.ReadStream,
    stdout: sink('out'),
    stderr: sink('err'),
    env: {},
    cwd,
    clock: { now: () => (now += SECOND) },
  };
  const code = await run(args, io);
  return { code, ...texts };
}

/** A folder with `trace.ndjson` and `rules.yaml`: Alice's twenty messages trip its rule, Bert's one does not. */
export function folder(t: TestContext): string {
  const cwd = temporaryDirectory(t);
  writeFileSync(path.join(cwd, 'trace.ndjson'), LINES.map((text) => `${text}\n`).join(''));
  writeFileSync(path.join(cwd, 'rules.yaml'), RULES);
  return cwd;
}
