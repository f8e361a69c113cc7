import type { Reading } from './setting.js';
import { LISTENER_GROUPS, listSettings } from './schema.js';

/** A setting in force, without secrets: fit for a log, a page or a bug report. */
export interface SettingInForce {
  /** Its place in the file, with the index of its listener: `smtp.submission[0].listen`. */
  readonly setting: string;
  /** As JSON has it: sizes in bytes, durations in milliseconds; null where it has none. */
  readonly value: unknown;
  /** As one writes it. If it has no value, what the documents say of its default. */
  readonly text: string;
  readonly from: 'default' | 'file' | 'environment';
  /** `stopgap.yaml:3:5`, or the variable. */
  readonly where: string | null;
}

export function inForce({ given, about, value }: Reading): SettingInForce {
  const { key, from } = given;
  const shown = value === undefined ? null : about.show(value as never);
  const where = from === 'default' ? null : given.where.replace(`: ${key}`, '');
  return { setting: key, value: shown, text: textOf(), from, where };

  function textOf(): string {
    if (shown === null) return about.default ?? 'none';
    if (about.asWritten) return String((given.value as string | number | undefined) ?? about.default);
    return Array.isArray(shown)
      ? shown.join(', ')
      : typeof shown === 'string'
        ? shown
        : JSON.stringify(shown);
  }
}

/** The configuration in the shape of the file, without secrets. */
export function redactedConfig(loaded: {
  readonly file: string | undefined;
  readonly evaluation: boolean;
  readonly settings: readonly SettingInForce[];
}): Record<string, unknown> {
  const root: Record<string, unknown> = { file: loaded.file ?? null, evaluation: loaded.evaluation };
  // A group without a listener has no setting that would name it.
  const groups = [...LISTENER_GROUPS.keys()].map((setting) => ({ setting, value: [] }));
  for (const { setting, value } of [...groups, ...loaded.settings]) {
    const names = setting.split(/[.[\]]+/);
    let group = root;
    names.slice(0, -1).forEach((name, index) => {
      group = (group[name] ??= /^\d+$/.test(names[index + 1]!) ? [] : {}) as Record<string, unknown>;
    });
    group[names.at(-1)!] = value;
  }
  return root;
}

/** The table of docs/reference/configuration.md. */
export function settingsTable(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  const rows = listSettings().map(({ path, env, type, description, ...one }) => [
    `\`${path}\``,
    `\`${env}\``,
    cell(type),
    cell(one.default ?? 'none'),
    cell(description),
  ]);
  const head = ['setting', 'environment variable', 'type', 'default', 'what it is'];
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const line = (row: readonly string[], fill = ' '): string =>
    `| ${row.map((text, column) => text.padEnd(widths[column]!, fill)).join(' | ')} |`;
  return [
    line(head),
    line(
      head.map(() => ''),
      '-',
    ),
    ...rows.map((row) => line(row)),
  ].join('\n');
}
