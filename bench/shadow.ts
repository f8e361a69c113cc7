import type { RecordedEvent } from '../src/kernel/events.js';
import { ReadModels } from '../src/detector/read-models.js';
import { parseRules } from '../src/rules/parse.js';
import { RULES, START, send } from './detector.js';
import { isMain, median, print } from './report.js';
import type { Report } from './report.js';

const SENDERS = 20_000;
const SLICE = 1_000;
const SLICES = 150;
const STRICTER = RULES.replace('limit: 1000,', 'limit: 400,');

const quiet = (): undefined => undefined;

/** Read models with rules in force, and with others in the shadow where asked. */
function models(shadow: boolean): ReadModels {
  const folding = new ReadModels({
    onVerdict: quiet,
    onBlockEvent: quiet,
    onRulesChanged: quiet,
    onSkipped({ type }, reason) {
      throw new Error(`${type}: ${reason}`);
    },
  });
  const change = (position: number, type: string, source: string): void =>
    folding.apply({
      id: `r${position}`,
      type,
      at: START,
      recordedAt: START,
      by: 'system:bench',
      stream: 'rules',
      revision: position,
      position,
      data: { version: 1, rules: parseRules(source), source, origin: 'file' },
    });
  change(1, 'RulesChanged', RULES);
  if (shadow) change(2, 'ShadowRulesChanged', STRICTER);
  return folding;
}

/** Both fold events of their own: a string that was looked up once knows its hash. */
function batch(from: number): readonly RecordedEvent[] {
  return Array.from({ length: SLICE }, (_, index) => {
    const position = from + index;
    return send((position * 7919) % SENDERS, position, START + Math.floor((position * 100_000) / SENDERS));
  });
}

export function run(): Promise<Report> {
  const [alone, beside] = [models(false), models(true)];
  const took = { alone: [] as number[], beside: [] as number[] };
  const time = (folding: ReadModels, events: readonly RecordedEvent[]): number => {
    const start = process.hrtime.bigint();
    for (const event of events) folding.apply(event);
    return Number(process.hrtime.bigint() - start) / SLICE;
  };
  for (let slice = 0; slice < SLICES; slice++) {
    const position = 3 + slice * SLICE;
    const [first, second] = [batch(position), batch(position)];
    // In turns, so that neither has the better moments of the machine.
    if (slice % 2 === 0) took.alone.push(time(alone, first));
    took.beside.push(time(beside, second));
    if (slice % 2 === 1) took.alone.push(time(alone, first));
  }
  const settled = {
    alone: median(took.alone.slice(SLICES / 3)),
    beside: median(took.beside.slice(SLICES / 3)),
  };
  const ratio = settled.beside / settled.alone;
  return Promise.resolve({
    name: 'Shadow rules: folding a send, 20,000 senders, 6 rules',
    rows: [
      { label: 'nothing in the shadow', value: `${Math.round(settled.alone)} ns` },
      { label: 'a rule set in the shadow', value: `${Math.round(settled.beside)} ns` },
      {
        label: '  of the one without',
        value: `${ratio.toFixed(2)} times`,
        target: 'at most 2.5',
        ok: ratio <= 2.5,
      },
    ],
  });
}

if (isMain(import.meta.url)) print(await run());
