import { readFile, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pino } from 'pino';
import { DAY } from '../../src/kernel/time.js';
import { FOLDED_CATEGORIES } from '../../src/detector/projector.js';
import type { ReadModels } from '../../src/detector/read-models.js';
import type { Verdict } from '../../src/rules/respond.js';
import { Snapshots } from '../../src/snapshots/snapshots.js';
import type { SnapshotOptions } from '../../src/snapshots/snapshots.js';
import { folding } from './history.js';
import type { ManualClock } from './manual-clock.js';

export interface Node {
  readonly models: ReadModels;
  readonly verdicts: Verdict[];
  readonly snapshots: Snapshots;
  /** Every line of its log. */
  readonly logs: string[];
}

/** Read models with snapshots, and nothing else of a process. */
export async function node(
  folder: string,
  clock: ManualClock,
  more: Partial<SnapshotOptions> = {},
): Promise<Node> {
  const logs: string[] = [];
  const log = pino({ level: 'trace', base: undefined }, { write: (line: string) => void logs.push(line) });
  const { models, verdicts } = folding();
  const snapshots = await Snapshots.open({
    folder,
    categories: FOLDED_CATEGORIES,
    models,
    unanswered: () => [],
    clock,
    log,
    kept: 35 * DAY,
    ...more,
  });
  return { models, verdicts, snapshots, logs };
}

/** Paths of the snapshots in a folder, the newest last. */
export async function snapshotsIn(folder: string): Promise<string[]> {
  const names = await readdir(folder);
  return names
    .filter((name) => name.endsWith('.snapshot'))
    .sort()
    .map((name) => path.join(folder, name));
}

export async function rewrite(file: string, change: (bytes: Buffer) => Uint8Array): Promise<void> {
  await writeFile(file, change(await readFile(file)));
}
