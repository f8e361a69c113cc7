import type { Logger } from 'pino';
import { pino } from 'pino';
import { fileFault } from '../accounts/private-file.js';
import type { LogSettings } from '../config/schema.js';
import { StopgapError } from '../kernel/errors.js';
import { escaped } from '../kernel/printable.js';
import { LogLevels, asText } from './levels.js';
import { Pseudonyms, openLogKey } from './pseudonyms.js';
import type { Sink } from './sinks.js';
import { LogFile, Losses, RecentLines } from './sinks.js';

/** What a process logs with. */
export interface Logs {
  readonly levels: LogLevels;
  readonly recent: RecentLines;
  /** Lines that each place has not taken since the start. */
  readonly lost: () => Readonly<Record<LogPlace, number>>;
}

/** A destination that may refuse lines. */
export type LogPlace = 'stderr' | 'file';

/** No line has these: nobody hands them to a logger. Should somebody one day, they are struck out here. */
const SECRETS = [
  'password',
  'pass',
  'token',
  'secret',
  'authorization',
  'cookie',
  'credentials',
  'authPlain',
];

/** What a field may hold, in characters: a line is to be read, and passed on by collectors that cut long ones anywhere. */
const LONGEST = 4096;

/** The record with long texts cut at a space, so that no half of a name is left at the end. */
function bounded(record: object): Readonly<Record<string, unknown>> {
  const entries = Object.entries(record);
  const isLong = (value: unknown): value is string => typeof value === 'string' && value.length > LONGEST;
  if (!entries.some(([, value]) => isLong(value))) return record as Readonly<Record<string, unknown>>;
  return Object.fromEntries(
    entries.map(([key, value]) => {
      if (!isLong(value)) return [key, value];
      const kept = value.slice(0, value.lastIndexOf(' ', LONGEST) + 1);
      return [key, `${kept}… (${value.length - kept.length} characters more)`];
    }),
  );
}

/**
 * Opens the log: structured lines to `write`, to the file that is configured, and to memory.
 *
 * @param write to standard error
 * @throws StopgapError, or the system's error, where key or file cannot be used
 */
export async function openLogs(settings: LogSettings, write: Sink): Promise<Logs> {
  const { level, format, addresses, key, file, maxFileSize } = settings;
  const names = addresses === 'hashed' ? new Pseudonyms(await openLogKey(key)) : undefined;
  const recent = new RecentLines();
  // The warning itself is lost where the lines are lost: every other destination has it.
  const lossesOf = (place: LogPlace): Losses =>
    new Losses({
      lost: (reason) => levels.of('app').error({ place, reason }, 'log lines are lost'),
      back: (lost) => levels.of('app').warn({ place, lost }, 'log lines are taken again'),
    });
  const [atStderr, atFile] = [lossesOf('stderr'), lossesOf('file')];
  const onStuck = (error: string): void =>
    levels.of('app').error({ error }, 'the log file cannot be turned over, and grows');
  const logFile = file === undefined ? undefined : openFile(file, maxFileSize, atFile, onStuck);
  const sink = {
    write(raw: string): void {
      const line = `${escaped(raw.trimEnd())}\n`;
      recent.push(line);
      write(format === 'json' ? line : asText(line), atStderr);
      logFile?.write(line);
    },
  };
  const options = {
    level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`]), censor: '***' },
    formatters: {
      level: (label: string) => ({ level: label }),
      log: (record: object) => {
        const short = bounded(record);
        return names === undefined ? short : names.record({ ...short });
      },
    },
  };
  const levels = new LogLevels(pino(options, sink));
  return { levels, recent, lost: () => ({ stderr: atStderr.total, file: atFile.total }) };
}

function openFile(...options: ConstructorParameters<typeof LogFile>): LogFile {
  try {
    return new LogFile(...options);
  } catch (error) {
    const why = fileFault(error, 'name a file that can be written to', 'written');
    throw new StopgapError('unavailable', `log.file: ${options[0]} ${why}`);
  }
}

/** For a logger that somebody else has made. */
export function logsOf(root: Logger): Logs {
  return {
    levels: new LogLevels(root),
    recent: new RecentLines(),
    lost: () => ({ stderr: 0, file: 0 }),
  };
}
