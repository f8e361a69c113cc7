import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseDocument } from 'yaml';

/** The repository: tests run from `dist…/test/unit/deploy`. */
export const ROOT = fileURLToPath(new URL('../../../../', import.meta.url));

export interface Service {
  readonly image?: string;
  readonly build?: unknown;
  readonly user?: string;
  readonly read_only?: boolean;
  readonly init?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly env_file?: readonly string[];
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly tmpfs?: readonly string[];
  readonly ports?: readonly string[];
  readonly networks?: Readonly<Record<string, unknown>>;
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly command?: readonly string[];
  readonly restart?: string;
  readonly 'x-user'?: string;
  readonly 'x-root'?: string;
  readonly 'x-writable'?: string;
  readonly 'x-health'?: string;
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks?: Readonly<Record<string, { readonly internal?: boolean } | null>>;
  readonly volumes?: Readonly<Record<string, unknown>>;
  readonly secrets?: Readonly<Record<string, { readonly file: string }>>;
}

export function text(file: string): string {
  return readFileSync(ROOT + file, 'utf8');
}

/** @throws where the file is no YAML, or YAML with a warning */
export function readYaml(file: string): unknown {
  const document = parseDocument(text(file), { merge: true });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) throw problem;
  return document.toJS();
}

/** The files laid over each other as `docker compose -f … -f …` does. */
export function readCompose(...files: readonly string[]): ComposeFile {
  return files.map(readYaml).reduce((below, above) => overlay(below, above, '')) as ComposeFile;
}

/** What the later file says instead of, not beside, what the earlier one does. */
const REPLACED = new Set(['command', 'entrypoint', 'test']);

function overlay(below: unknown, above: unknown, key: string): unknown {
  if (above === undefined) return below;
  if (Array.isArray(below) && Array.isArray(above) && !REPLACED.has(key)) return below.concat(above);
  if (!isMapping(below) || !isMapping(above)) return above;
  const names = new Set([...Object.keys(below), ...Object.keys(above)]);
  return Object.fromEntries([...names].map((name) => [name, overlay(below[name], above[name], name)]));
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
