import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { ConfigError, loadConfig } from '../../../src/config.js';
import type { LoadedConfig } from '../../../src/config.js';

/** A directory of its own, gone after the test. */
export function temporaryDirectory(context: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'stopgap-'));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export interface Given {
  readonly yaml?: string;
  readonly env?: Record<string, string>;
  readonly files?: Record<string, string>;
  readonly checkFiles?: boolean;
}

/** Loads a configuration from a directory that holds just these files. */
export function load(context: TestContext, given: Given): LoadedConfig & { cwd: string } {
  const cwd = temporaryDirectory(context);
  if (given.yaml !== undefined) writeFileSync(path.join(cwd, 'stopgap.yaml'), given.yaml);
  for (const [name, text] of Object.entries(given.files ?? {})) writeFileSync(path.join(cwd, name), text);
  const loaded = loadConfig({ env: given.env ?? {}, cwd, checkFiles: given.checkFiles ?? true });
  return { ...loaded, cwd };
}

/** The problems of a configuration that must be refused. */
export function problemsOf(context: TestContext, given: Given): readonly string[] {
  try {
    load(context, given);
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.problems;
    throw thrown;
  }
  throw new Error('the configuration was taken');
}

export const RELAY = 'smtp: { relay: { url: smtp://127.0.0.1:25 } }\n';
