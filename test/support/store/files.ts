import { spawnSync } from 'node:child_process';
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

export function temporaryDirectory(): Promise<string> {
  return fs.mkdtemp(path.join(os.tmpdir(), 'stopgap-store-'));
}

/** The files of a folder that hold a name, as bytes. Another process looks: to close a store's file here would drop its lock. */
export function filesThatName(folder: string, name: string): readonly string[] {
  const { stdout } = spawnSync('grep', ['-rlaiF', name, folder], { encoding: 'utf8' });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((file) => path.basename(file));
}
