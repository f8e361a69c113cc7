import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { HookTarget } from '../config/values.js';
import type { HookAction } from '../blocks/events.js';
import { messageOf } from '../kernel/errors.js';
import { printable } from '../kernel/printable.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { MINUTE, SECOND } from '../kernel/time.js';
import type { Subject } from '../sending/subjects.js';

/** What the hook is called with, as JSON on standard input or as the body of a POST. */
export interface HookCall {
  readonly action: HookAction;
  readonly block: string;
  readonly subject: Subject;
  /** The login that handed these messages in; null if there was none. */
  readonly account: string | null;
  readonly queueIds: readonly string[];
  /**
   * Of `hold-queue`: a call before this one may have held some of these, and was not heard. Only then what is on hold already is
   * held by Stopgap; else it is somebody else's, such as a quarantine.
   */
  readonly again?: true;
}

/** The hook did not do what it was called for; it may be called again. */
export class HookFailed extends Error {}

/** From the call until the hook must have answered; then it is killed. */
const DEADLINE: Milliseconds = MINUTE;
/** Bytes of what it prints that are looked at: one line for each of the ids of a call, several times over. */
const MOST_OUTPUT = 65_536;
/** Nothing of ours: no setting, no secret. */
const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' };

export interface HookOptions {
  readonly run: HookTarget;
  /** A file whose first line is the Authorization header for a URL. */
  readonly authorization: string | undefined;
  readonly clock: AlarmClock;
}

/**
 * Calls the hook once. Safe to repeat, as a hook must be.
 *
 * @returns what it printed or answered, cut
 * @throws HookFailed
 */
export async function callHook(options: HookOptions, call: HookCall, signal: AbortSignal): Promise<string> {
  const deadline = new AbortController();
  const cancel = options.clock.after(DEADLINE, () => deadline.abort());
  const ends = AbortSignal.any([signal, deadline.signal]);
  const text = JSON.stringify(call);
  try {
    const { run } = options;
    return await ('url' in run
      ? post(run.url, options.authorization, text, ends)
      : execute(run.command, text, ends));
  } catch (error) {
    if (deadline.signal.aborted) throw new HookFailed(`no answer within ${DEADLINE / SECOND} s`);
    throw error instanceof HookFailed ? error : new HookFailed(messageOf(error));
  } finally {
    cancel();
  }
}

/** In a process group of its own, so that what it has started ends with it. */
function execute(
  [file, ...args]: readonly [string, ...string[]],
  input: string,
  signal: AbortSignal,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd: '/', env: ENVIRONMENT, detached: true, stdio: 'pipe' } as const;
    // Where no descriptor is free Node gives a child without streams, and emits the error later.
    const child: ChildProcess = spawn(file, args, options);
    const { stdin, stdout, stderr } = child;
    const kill = (): void => {
      try {
        // One that sudo runs as root cannot be killed: then it is not waited for.
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended already, or is somebody else's.
      }
      for (const stream of [stdin, stdout, stderr]) stream?.destroy();
      child.unref();
      reject(new HookFailed('it was stopped'));
    };
    const ended = (result: () => void): void => {
      signal.removeEventListener('abort', kill);
      result();
    };
    child.once('error', (error) => ended(() => reject(new HookFailed(messageOf(error)))));
    const [output, errors] = [stdout, stderr].map(cutTextOf) as [() => string, () => string];
    // A hook need not read what it is told.
    stdin?.on('error', () => undefined);
    stdin?.end(`${input}\n`);
    child.once('close', (code, by) =>
      ended(() => {
        if (code === 0) return resolve(output());
        reject(
          new HookFailed(said(by === null ? `exit code ${code}` : `ended by ${by}`, errors() || output())),
        );
      }),
    );
    if (signal.aborted) kill();
    else signal.addEventListener('abort', kill, { once: true });
  });
}

async function post(
  url: string,
  file: string | undefined,
  body: string,
  signal: AbortSignal,
): Promise<string> {
  const authorization = file === undefined ? undefined : readFileSync(file, 'utf8').split('\n', 1)[0]!.trim();
  const response = await fetch(url, {
    method: 'POST',
    body,
    signal,
    redirect: 'error',
    headers: {
      'content-type': 'application/json',
      ...(authorization === undefined ? {} : { authorization }),
    },
  });
  const text = response.body === null ? '' : await cutTextOfBody(response.body);
  if (!response.ok) throw new HookFailed(said(`HTTP ${response.status}`, text));
  return text;
}

/** Takes all that comes, so that the writer never waits, and keeps the beginning. */
function cutTextOf(stream: NodeJS.ReadableStream | null | undefined): () => string {
  const kept: Buffer[] = [];
  let size = 0;
  stream?.on('data', (chunk: Buffer) => {
    if (size >= MOST_OUTPUT) return;
    kept.push(chunk.subarray(0, MOST_OUTPUT - size));
    size += chunk.length;
  });
  return () => Buffer.concat(kept).toString('utf8');
}

async function cutTextOfBody(body: ReadableStream<Uint8Array>): Promise<string> {
  const kept: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    kept.push(chunk.subarray(0, MOST_OUTPUT - size));
    size += chunk.length;
    // Leaving the loop ends the answer.
    if (size >= MOST_OUTPUT) break;
  }
  return Buffer.concat(kept).toString('utf8');
}

const said = (what: string, text: string): string => {
  const lines = firstLines(text);
  return lines === '' ? what : `${what}: ${lines}`;
};

const MOST_LINES = 5;
const MOST_CHARACTERS = 500;

/** By this line by-socket.mjs knows that a hook has come to its end. It tells people nothing. */
const LAST_LINE = /(^|\n)end\s*$/;

/** The first lines of what a hook said, safe to show. */
export function firstLines(text: string): string {
  return text
    .replace(LAST_LINE, '$1')
    .slice(0, 4 * MOST_CHARACTERS)
    .split('\n')
    .map((line) => printable(line).trim())
    .filter((line) => line !== '')
    .slice(0, MOST_LINES)
    .join('\n')
    .slice(0, MOST_CHARACTERS);
}

const DONE: Readonly<Record<HookAction, string>> = {
  'hold-queue': 'held',
  release: 'released',
  delete: 'deleted',
};

/** The ids that a hook says it acted on: a line each, such as `held 4ABCDE`. */
export function actedOn({ action, queueIds }: HookCall, output: string): readonly string[] {
  const asked = new Set(queueIds);
  const acted = output.split('\n').map((line) => /^(\w+) ([A-Za-z0-9-]+)\s*$/.exec(line));
  return [
    ...new Set(
      acted.flatMap((match) =>
        match !== null && match[1] === DONE[action] && asked.has(match[2]!) ? [match[2]!] : [],
      ),
    ),
  ];
}
