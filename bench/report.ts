import { pathToFileURL } from 'node:url';

/** One measured figure. `ok` is absent if there is no target, or if the machine decides. */
export interface Row {
  readonly label: string;
  readonly value: string;
  readonly target?: string;
  readonly ok?: boolean;
}

/** What a benchmark has to say: every bench file exports `run(): Promise<Report>`. */
export interface Report {
  readonly name: string;
  readonly rows: readonly Row[];
}

/** Prints a report as a table on standard output. */
export function print(report: Report): void {
  const width = Math.max(...report.rows.map(({ label }) => label.length));
  const lines = report.rows.map(({ label, value, target, ok }) => {
    const mark = ok === undefined ? '' : ok ? '  ok' : '  MISSED';
    return `  ${label.padEnd(width)}  ${value}${target === undefined ? '' : `  (target ${target})`}${mark}`;
  });
  process.stdout.write(`${report.name}\n${lines.join('\n')}\n`);
}

/** Whether the module with this URL is the one that node was started with. */
export function isMain(moduleUrl: string): boolean {
  const script = process.argv[1];
  return script !== undefined && moduleUrl === pathToFileURL(script).href;
}

/** Of an odd number the middle one, of an even number the upper of the two in the middle. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;
}
