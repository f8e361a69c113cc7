import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Each program, and what it may be called. */
const NAMES = {
  prometheus: ['prometheus'],
  promtool: ['promtool'],
  // Debian's name first.
  alertmanager: ['prometheus-alertmanager', 'alertmanager'],
  amtool: ['amtool'],
} as const;
export type Program = keyof typeof NAMES;

const found = new Map<Program, Promise<string | undefined>>();

/** What a program of Prometheus or Alertmanager is called here; undefined if it is not installed. */
export function binaryOf(program: Program): Promise<string | undefined> {
  let binary = found.get(program);
  if (binary === undefined) found.set(program, (binary = look(program)));
  return binary;
}

async function look(program: Program): Promise<string | undefined> {
  for (const name of NAMES[program]) {
    try {
      await run(name, ['--version']);
      return name;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return undefined;
}

/** False if all of these are installed, else why a test is skipped: for its `skip` option. */
export async function skipWithout(...programs: readonly Program[]): Promise<string | false> {
  const binaries = await Promise.all(programs.map(binaryOf));
  const missing = programs.filter((_, index) => binaries[index] === undefined);
  if (missing.length === 0) return false;
  return `there is no ${missing.join(' and no ')}: npm run test:install installs what is missing`;
}

/** Runs one to its end; gives what it printed. @throws AssertionError-like, with that, where it fails */
export async function runProgram(program: Program, args: readonly string[]): Promise<string> {
  const binary = (await binaryOf(program))!;
  try {
    const { stdout, stderr } = await run(binary, args, { maxBuffer: 16 * 1024 * 1024 });
    return stdout + stderr;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${binary} ${args.join(' ')}\n${stdout}${stderr}`, { cause: error });
  }
}
