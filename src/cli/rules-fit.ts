import path from 'node:path';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { rulesInForce } from '../backtest/history.js';
import type { RuleFit } from '../backtest/rule-fit.js';
import { fitRules } from '../backtest/rule-fit.js';
import { StopgapError } from '../kernel/errors.js';
import { grouped } from '../kernel/printable.js';
import { CONFIDENCE, rateFor } from '../rules/fit.js';
import { proposedRules } from '../rules/fit-proposal.js';
import { parseRules } from '../rules/parse.js';
import { openForReading } from '../store/open-for-reading.js';
import type { CliIo } from './io.js';
import { asJson, counted, note, openNamed, print, table } from './io.js';
import type { ConfigOption } from './options.js';
import { configForFiles, withConfig } from './options.js';
import { writeNewFile } from './output-file.js';

interface FitOption extends ConfigOption {
  readonly rate: number;
  readonly out?: string;
  readonly json?: true;
}

/** One wrong verdict of a rule in 5,000 sender-days. */
const RATE = 0.2;
const MOST_RATE = 100;
const THOUSAND = 1000;

/** `stopgap rules fit`: reads the store, also beside a running server. */
export function fitCommand(rules: Command, io: CliIo): void {
  const command = rules
    .command('fit')
    .description('propose limits k × record + plus from the days that the store has recorded')
    .option('--rate <number>', 'wrong blocks of each rule in 1,000 sender-days', rateOf, RATE)
    .option('--out <file>', 'write the rules in force with these limits there; nothing comes into force')
    .option('--json', 'as JSON');
  withConfig(command).action(async (options: FitOption) => {
    const { config } = await configForFiles(io, options);
    const store = await openForReading(config, io.clock, (text) => note(io, `stopgap: ${text}`));
    try {
      const inForce = await rulesInForce(store);
      const fits = await fitRules(store, inForce.rules, options.rate / THOUSAND);
      note(io, `${inForce.name}; for each rule at most ${options.rate} in 1,000 sender-days`);
      if (options.json === true) print(io, asJson(fits.map(fitJson)));
      else if (fits.length === 0) note(io, 'no rule follows a record');
      else print(io, table([HEAD, ...fits.map(row)]));
      if (options.out !== undefined) await write(io, options.out, inForce.source, fits, options.rate);
    } finally {
      await store.close();
    }
  });
}

/** @throws StopgapError if there is nothing to propose, or the file is there */
async function write(
  io: CliIo,
  file: string,
  source: string,
  fits: readonly RuleFit[],
  rate: number,
): Promise<void> {
  const proposed = fits.flatMap(({ rule, fitted }) => (fitted === undefined ? [] : [{ rule, fitted }]));
  if (proposed.length === 0)
    throw new StopgapError('invalid-input', `${file} is not written: ${nothingProposed(fits, rate)}`);
  const head = ` Limits by stopgap rules fit --rate ${rate}: try them with stopgap backtest --rules FILE --against in-force.`;
  const text = proposedRules(source, proposed, head);
  parseRules(text, file);
  // A rules file that is in use is not overwritten by a proposal.
  const writing = writeNewFile(path.resolve(io.cwd, file), text);
  await openNamed(file, 'name a file that is not there yet, in a folder that can be written to', writing);
  note(io, `${file}: ${counted(proposed.length, 'limit')} proposed; stopgap rules apply puts them in force`);
}

/** Which rule is the nearest to a proposal, and what to do. */
function nothingProposed(fits: readonly RuleFit[], rate: number): string {
  const [most] = [...fits].sort((a, b) => b.days - a.days);
  if (most === undefined)
    return 'no rule follows a record; give one a limit such as { record: 2x, plus: 10 }, which needs weeks of history';
  const { rule, days, needed } = most;
  const enough = Math.ceil(10 * THOUSAND * rateFor(days)) / 10;
  const or = enough <= MOST_RATE ? `, or allow more wrong blocks with --rate ${enough}` : '';
  return `no rule has the ${grouped(needed)} sender-days that --rate ${rate} needs; ${rule.id} has most, ${grouped(days)}: try again when there are more${or}`;
}

const HEAD = ['RULE', 'TODAY', 'PROPOSED', 'WRONG TODAY', 'WRONG THEN', 'AT MOST', 'SENDER-DAYS', 'SENDERS'];

/** Rates are in 1,000 sender-days; `at most` holds with the confidence. */
function row({ rule, today, days, senders, aboveToday, fitted, atMost, needed }: RuleFit): readonly string[] {
  const per = (count: number): string => (days === 0 ? '-' : ((THOUSAND * count) / days).toFixed(2));
  const known = [grouped(days), grouped(senders)];
  const now = [rule.id, limitText(today), per(aboveToday)] as const;
  if (fitted === undefined) {
    const more = `too few days: ${grouped(needed)} are needed`;
    return [now[0], now[1], more, now[2], '-', '-', ...known];
  }
  const { k, plus, above } = fitted;
  return [now[0], now[1], `${k} r + ${plus}`, now[2], per(above), per(atMost!), ...known];
}

function limitText({ typical, record, largest, plus, floor }: RuleFit['today']): string {
  const multiples = [
    [typical, 't'],
    [record, 'r'],
    [largest, 'largest'],
  ] as const;
  const own = multiples.filter(([times]) => times > 0).map(([times, of]) => `${times} ${of}`);
  const added = plus === undefined ? '' : ` + ${plus}`;
  const least = floor > (plus ?? 0) ? `, at least ${floor}` : '';
  return `${own.join(' or ')}${added}${least}`;
}

function fitJson({ rule, today, days, senders, aboveToday, fitted, atMost, needed }: RuleFit): object {
  const per = (count: number | undefined): number | null =>
    count === undefined || days === 0 ? null : Math.round((1e6 * count) / days) / THOUSAND;
  return {
    rule: rule.id,
    today,
    proposed: fitted === undefined ? null : { record: fitted.k, plus: fitted.plus },
    senderDays: days,
    senders,
    senderDaysNeeded: needed,
    confidence: CONFIDENCE,
    wrongPer1000SenderDays: { today: per(aboveToday), proposed: per(fitted?.above), atMost: per(atMost) },
  };
}

function rateOf(text: string): number {
  const rate = Number(text);
  if (!(rate >= 0.001 && rate <= MOST_RATE)) {
    throw new InvalidArgumentError(
      `It must be a number from 0.001 to ${MOST_RATE}: wrong blocks in 1,000 sender-days.`,
    );
  }
  return rate;
}
