import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { linesOf } from '../import/postfix-log/reader.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { within } from '../runtime/clock.js';
import type { LiveLog, Piece } from './follower.js';

/** How far the journal has been read: after an entry, or from a time on where there was none. */
export type JournalPlace = { readonly cursor: string } | { readonly since: number };

/** Entries that are read again after a restart, since later ones say more of the same messages: some 20 MB. */
const CONTEXT = 20_000;
/** How long the journal is waited for before it is taken to say nothing for now. */
const PACE: Milliseconds = 250;
const FIELDS = 'MESSAGE,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_HOSTNAME,_SOURCE_REALTIME_TIMESTAMP';

interface Entry {
  readonly cursor: string;
  readonly line: string;
}

/** systemd's journal, by `journalctl`. */
export class JournalTail implements LiveLog<JournalPlace> {
  readonly #matches: readonly string[];
  readonly #clock: AlarmClock;

  /** @param matches which entries, as journalctl takes them */
  constructor(matches: readonly string[], clock: AlarmClock) {
    this.#matches = matches;
    this.#clock = clock;
  }

  async *before(place: JournalPlace): AsyncGenerator<Buffer> {
    if (!('cursor' in place)) return;
    const lines: string[] = [];
    const child = this.#start('-r', '-n', String(CONTEXT), `--cursor=${place.cursor}`);
    for await (const entries of entriesOf(child)) for (const { line } of entries) lines.push(line);
    for (let end = lines.length; end > 0; end -= 500)
      yield Buffer.from(
        lines
          .slice(Math.max(0, end - 500), end)
          .reverse()
          .join(''),
      );
  }

  async *follow(from: JournalPlace | undefined): AsyncGenerator<Piece<JournalPlace> | undefined> {
    let place = from;
    if (place === undefined) {
      place = await this.#end();
      yield { bytes: Buffer.alloc(0), end: place };
    }
    const start = 'cursor' in place ? `--after-cursor=${place.cursor}` : `--since=@${place.since}`;
    const child = this.#start('-f', '--no-tail', start);
    const batches = entriesOf(child);
    try {
      for (;;) {
        const next = batches.next();
        // What comes of it once nobody waits any more, nobody has to hear.
        next.catch(() => undefined);
        let batch = await this.#unlessQuiet(next);
        for (; batch === undefined; batch = await this.#unlessQuiet(next)) yield undefined;
        if (batch.done === true) throw new StopgapError('unavailable', 'journalctl has ended');
        if (batch.value.length === 0) continue;
        const bytes = Buffer.from(batch.value.map(({ line }) => line).join(''));
        yield { bytes, end: { cursor: batch.value.at(-1)!.cursor } };
      }
    } finally {
      // A generator that waits would not hear that it is to end.
      end(child);
    }
  }

  #unlessQuiet<T>(next: Promise<T>): Promise<T | undefined> {
    return within(this.#clock, PACE, next, () => undefined);
  }

  async #end(): Promise<JournalPlace> {
    for await (const [last] of entriesOf(this.#start('-n', '1')))
      if (last !== undefined) return { cursor: last.cursor };
    return { since: Math.floor(this.#clock.now() / SECOND) };
  }

  #start(...args: readonly string[]): ChildProcess {
    const all = ['-q', '-o', 'json', '--no-pager', `--output-fields=${FIELDS}`, ...args, ...this.#matches];
    return spawn('journalctl', all, { stdio: ['ignore', 'pipe', 'pipe'] });
  }
}

/** What it gives, many entries at a time. @throws StopgapError if it cannot be run, or says what is wrong */
async function* entriesOf(child: ChildProcess): AsyncGenerator<readonly Entry[]> {
  let complaint = '';
  const ended = once(child, 'close') as Promise<[number | null]>;
  // Heard of below, once all that it wrote has been read.
  ended.catch(() => undefined);
  // Where no descriptor is free Node gives a child without streams, and emits the error later.
  const { stdout, stderr } = child;
  stderr?.on('data', (chunk: Buffer) => (complaint = `${complaint}${chunk.toString()}`.slice(-500)));
  try {
    if (stdout) for await (const lines of linesOf(stdout)) yield lines.flatMap(entryOf);
    const [code] = await ended.catch((error: unknown): never => {
      throw new StopgapError('unavailable', `journalctl cannot be run: ${messageOf(error)}`);
    });
    if (code !== 0)
      throw new StopgapError(
        'unavailable',
        `journalctl ended with ${code ?? 'a signal'}: ${complaint.trim()}`,
      );
  } finally {
    end(child);
  }
}

function end(child: ChildProcess): void {
  // One that never began has no id: to kill it would end our own process group.
  if (child.pid !== undefined && child.exitCode === null) child.kill();
  child.stdout?.destroy();
  child.stderr?.destroy();
}

/** An entry as a line of a log. None where it has no text, or is no entry. */
function entryOf(json: string | undefined): readonly Entry[] {
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = JSON.parse(json ?? '') as Readonly<Record<string, unknown>>;
  } catch {
    return [];
  }
  const cursor = fields['__CURSOR'];
  const message = textOf(fields['MESSAGE']);
  if (typeof cursor !== 'string' || message === undefined) return [];
  const at = Number(fields['_SOURCE_REALTIME_TIMESTAMP'] ?? fields['__REALTIME_TIMESTAMP']) / 1000;
  if (!(at >= 0 && at < 8.64e15)) return [];
  const host = textOf(fields['_HOSTNAME']) ?? 'localhost';
  const program = textOf(fields['SYSLOG_IDENTIFIER']) ?? '-';
  const process = textOf(fields['SYSLOG_PID']) ?? textOf(fields['_PID']) ?? '0';
  // No others: what is put there has to be as long in bytes, by which a text is known that was cut.
  const text = `${host} ${program}[${process}]: ${message}`.replace(/[\t\n\v\f\r]/g, ' ');
  return [{ cursor, line: `${new Date(at).toISOString()} ${text}\n` }];
}

/** journalctl writes what is not UTF-8 as an array of bytes, and a field that is there several times as an array of values. */
function textOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const values = value as readonly unknown[];
  return values.every((byte) => typeof byte === 'number')
    ? Buffer.from(values).toString()
    : textOf(values[0]);
}
