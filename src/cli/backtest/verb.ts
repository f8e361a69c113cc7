import path from 'node:path';
import { once } from 'node:events';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import type { Decision } from '../../backtest/cases.js';
import { RecordedFeedback, RecordedHistory, rulesInForce } from '../../backtest/history.js';
import { Labels } from '../../backtest/labels.js';
import type { BacktestReport } from '../../backtest/report.js';
import type { BacktestOptions, Progress } from '../../backtest/run.js';
import { DEFAULTS, IN_FORCE, MOST_CASES, rulesThatShip, runBacktest } from '../../backtest/run.js';
import { TraceThread } from '../../backtest/trace/thread.js';
import type { Candidate } from '../../backtest/trial.js';
import { onceReadable, openLogFile } from '../../import/postfix-log/index.js';
import type { Instant } from '../../kernel/time.js';
import { grouped } from '../../kernel/printable.js';
import { SECOND, formatInstant, parseInstant } from '../../kernel/time.js';
import { parseRules } from '../../rules/parse.js';
import type { ReadableStore } from '../../store/open-for-reading.js';
import { openForReading } from '../../store/open-for-reading.js';
import type { CliIo } from '../io.js';
import { StatusLine, asJson, note, openNamed, print, readNamed } from '../io.js';
import type { ConfigOption } from '../options.js';
import { configForFiles, withConfig } from '../options.js';
import { jsonFields, OutputFile } from '../output-file.js';
import { nothingText, reportText } from './format.js';

interface BacktestOption extends ConfigOption {
  readonly trace?: string;
  readonly from?: Instant;
  readonly to?: Instant;
  readonly rules?: string;
  readonly against?: string;
  readonly labels?: string;
  readonly decisions?: string;
  readonly cases?: number;
  readonly json?: true;
}

/** Cases that the text lists unless more are asked for. */
const LISTED = 40;

/** `stopgap backtest`: what rules would have done to a trace, or to what was recorded. */
export function backtestVerb(program: Command, io: CliIo): void {
  const verb = program
    .command('backtest')
    .description('what rules would have done: to a trace, or to what the store has recorded')
    .option('--trace <file>', 'one accepted message a line, as JSON, plain or gzipped (- is standard input)')
    .option('--from <time>', 'count from the beginning, but act and tell only from then on', time)
    .option('--to <time>', 'leave out what happened then or later', time)
    .option(
      '--rules <file>',
      `the rules to try; ${DEFAULTS} are those that ship (the default for a trace), ${IN_FORCE} those in the store (the default without one)`,
    )
    .option('--against <file>', 'other rules, to be compared with them')
    .option('--labels <file>', 'what of the trace was an attack, as JSON: judges every block')
    .option('--decisions <file>', 'write each decision there, one a line, as JSON')
    .option('--cases <n>', 'list at most so many blocks and proposals', wholeNumber)
    .option('--json', 'the report as JSON');
  withConfig(verb).action(async (options: BacktestOption) => {
    if (options.labels !== undefined && options.trace === undefined) {
      verb.error('error: --labels are about a trace: name it with --trace', { exitCode: 2 });
    }
    if (options.from !== undefined && options.to !== undefined && options.from >= options.to) {
      verb.error('error: --from must lie before --to', { exitCode: 2 });
    }
    if (options.trace !== undefined && [options.rules, options.against].includes(IN_FORCE)) {
      const right = `with a trace name a file, or ${DEFAULTS}`;
      verb.error(`error: ${IN_FORCE} are the rules in the store: ${right}`, { exitCode: 2 });
    }
    const store = options.trace === undefined ? await openStore(io, options) : undefined;
    try {
      await backtest(io, options, store);
    } finally {
      await store?.close();
    }
  });
}

async function backtest(io: CliIo, options: BacktestOption, store: ReadableStore | undefined): Promise<void> {
  const { from, to, json } = options;
  // Everything that may be wrong is looked at before the first event is.
  const trace = options.trace === undefined ? undefined : await openTrace(io, options.trace);
  const candidates = await candidatesOf(io, options, store);
  const labels =
    options.labels === undefined
      ? undefined
      : Labels.parse(readNamed(io, options.labels, 'name the labels of the trace, as JSON'), options.labels);
  const judgements = store === undefined ? undefined : await RecordedFeedback.of(store);
  const source = trace ?? new RecordedHistory(store!);
  const decisions =
    options.decisions === undefined
      ? undefined
      : new DecisionsFile(
          await OutputFile.open(io, {
            name: options.decisions,
            option: '--decisions',
            inputs: [options.trace, options.rules, options.against, options.labels].filter(
              (name) => name !== undefined,
            ),
            kind: 'decisions',
            isKind: isDecision,
          }),
        );
  const status = new StatusLine(io);
  const begun = io.clock.now();
  const running: BacktestOptions = {
    source,
    candidates,
    from,
    to,
    labels,
    judge: judgements === undefined ? undefined : (one) => judgements.of(one),
    most: options.cases ?? (json === true ? MOST_CASES : LISTED),
    onDecision: (decision) => decisions?.write(decision),
    onProgress(so) {
      status.show(() => progressText(so, io.clock.now() - begun));
      return decisions?.room();
    },
  };
  let report: BacktestReport | undefined;
  try {
    report = await runBacktest(running);
  } finally {
    status.clear();
    await decisions?.close(report !== undefined);
  }
  note(io, speedText(report.sends.messages, io.clock.now() - begun));
  const ranged = from !== undefined || to !== undefined;
  const nothing = json === true ? nothingText(report, ranged) : undefined;
  if (nothing !== undefined) note(io, `stopgap: ${nothing}`);
  print(io, json === true ? asJson(report) : reportText(report, ranged));
}

async function openTrace(io: CliIo, name: string): Promise<TraceThread> {
  if (name === '-') return new TraceThread(onceReadable('standard input', io.stdin, io.clock.now()));
  return new TraceThread(
    await openNamed(
      name,
      'name a trace as stopgap import postfix-log --trace writes it, or - for standard input',
      openLogFile(name, path.resolve(io.cwd, name)),
    ),
  );
}

async function openStore(io: CliIo, options: BacktestOption): Promise<ReadableStore> {
  const { config } = await configForFiles(io, options);
  return openForReading(config, io.clock, (text) => note(io, `stopgap: ${text}`));
}

async function candidatesOf(
  io: CliIo,
  { rules, against }: BacktestOption,
  store: ReadableStore | undefined,
): Promise<readonly Candidate[]> {
  const named = [
    rules ?? (store === undefined ? DEFAULTS : IN_FORCE),
    ...(against === undefined ? [] : [against]),
  ];
  const candidates: Candidate[] = [];
  for (const name of named) {
    if (name === DEFAULTS) candidates.push(rulesThatShip());
    else if (name !== IN_FORCE)
      candidates.push({
        name,
        rules: parseRules(readNamed(io, name, `name a rules file, ${DEFAULTS} or ${IN_FORCE}`), name),
      });
    else candidates.push(await rulesInForce(store!));
  }
  return candidates;
}

function progressText({ messages, refused, done, total, at }: Progress, span: number): string {
  const share = total === undefined || total === 0 ? '' : `${Math.floor((100 * done) / total)} %  `;
  const when = at === undefined ? '' : `  gone through to ${formatInstant(at).slice(0, 10)}`;
  const rate = grouped((messages * SECOND) / Math.max(1, span));
  return `${share}${grouped(messages)} sends  ${grouped(refused)} refused  ${rate}/s${when}`;
}

function speedText(messages: number, span: number): string {
  return `${grouped(messages)} sends in ${(span / SECOND).toFixed(1)} s: ${grouped((messages * SECOND) / Math.max(1, span))} a second`;
}

function time(text: string): Instant {
  const at = parseInstant(text);
  if (at === undefined)
    throw new InvalidArgumentError('It must be a time such as 2026-11-24 or 2026-11-24T03:04:05Z.');
  return at;
}

function wholeNumber(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('It must be a whole number, 0 or more.');
  return Number(text);
}

/** Whether a line is one that {@link DecisionsFile} has written. */
function isDecision(line: string): boolean {
  const { time, action, rule } = jsonFields(line);
  return [time, action, rule].every((field) => typeof field === 'string');
}

/** A decision a line, as JSON. */
class DecisionsFile {
  readonly #file: OutputFile;

  constructor(file: OutputFile) {
    this.#file = file;
  }

  write(decision: Decision): void {
    this.#file.stream.write(`${JSON.stringify(decision)}\n`);
  }

  /** Undefined if more can be written at once. @throws what the operating system says */
  room(): Promise<void> | undefined {
    const { fault, stream } = this.#file;
    if (fault !== undefined) throw fault;
    return stream.writableNeedDrain ? this.#drained() : undefined;
  }

  /** @param isWhole false: what was there before stays */
  close(isWhole: boolean): Promise<void> {
    return this.#file.close(isWhole);
  }

  async #drained(): Promise<void> {
    await once(this.#file.stream, 'drain');
  }
}
