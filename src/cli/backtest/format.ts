import type { BacktestReport, CandidateReport, CaseReport } from '../../backtest/report.js';
import type { Mail } from '../../backtest/cases.js';
import type { AttackScore, Score } from '../../backtest/labels.js';
import { grouped, printable } from '../../kernel/printable.js';
import { table } from '../io.js';

type Row = readonly string[];
type Sides = NonNullable<BacktestReport['comparison']>['blocks']['first'];
type Figure = readonly [name: string, value: string];

/**
 * Why there is nothing to report, if so: what was sent lies outside of --from and --to, or nowhere.
 *
 * @param ranged whether it is of a part only, by --from or --to
 */
export function nothingText(
  { source, sends, begins, ends }: BacktestReport,
  ranged: boolean,
): string | undefined {
  if (sends.messages > 0) return undefined;
  if (!ranged || begins === null || ends === null) return 'nothing that was sent is recorded';
  const span = `${printable(source)} goes from ${minute(begins)} to ${minute(ends)} UTC`;
  return `nothing was sent in the range of --from and --to: ${span}`;
}

/** The report as people read it; `ranged` as for {@link nothingText}. */
export function reportText(report: BacktestReport, ranged = false): string {
  const {
    source,
    from,
    to,
    sends,
    senders,
    senderDays,
    imported,
    skipped,
    skippedFor,
    labelled,
    candidates,
  } = report;
  const span = from === null || to === null ? '' : `, ${minute(from)} to ${minute(to)} UTC`;
  const lines = [
    `${printable(source)}: ${mailText(sends)} by ${counted(senders, 'sender')} on ${counted(senderDays, 'sender-day')}${span}`,
  ];
  const nothing = nothingText(report, ranged);
  if (nothing !== undefined) lines.push(`${nothing.replace('n', 'N')}.`);
  if (imported > 0) {
    lines.push(
      `${counted(imported, 'imported message')} left out: rules act on none. To try rules on them, make a trace of the same logs: ` +
        'stopgap import postfix-log LOG… --trace FILE, then stopgap backtest --trace FILE',
    );
  }
  if (skipped > 0) {
    lines.push(
      `${counted(skipped, 'event')} could not be folded and count for nothing: ${printable(skippedFor!)}`,
    );
  }
  if (labelled !== null && labelled.missing > 0) {
    const some = `${grouped(labelled.missing)} of ${counted(labelled.messages, 'labelled message')}`;
    lines.push(`${some} are not in this trace: are these its labels?`);
  }
  if (candidates.length === 1) lines.push('', ...alone(candidates[0]!, senderDays));
  else lines.push('', ...sideBySide(candidates, senderDays), '', ...differences(report));
  return lines.join('\n');
}

function alone(candidate: CandidateReport, senderDays: number): readonly string[] {
  const { cases, casesLeftOut } = candidate;
  return [
    table(figures(candidate, senderDays).map(([name, value]) => [name, value])),
    ...section('By rule', ruleRows(candidate)),
    ...section('By kind of attack', kindRows(candidate)),
    ...section('Blocks and proposals', cases.length === 0 ? [] : [CASE_HEAD, ...cases.map(caseRow)]),
    ...more(casesLeftOut, cases.length),
  ];
}

function sideBySide(candidates: readonly CandidateReport[], senderDays: number): readonly string[] {
  const columns = candidates.map((candidate) => new Map(figures(candidate, senderDays)));
  const names = new Set(columns.flatMap((column) => [...column.keys()]));
  const rows = [...names].map((name) => [name, ...columns.map((column) => column.get(name) ?? '-')]);
  const sections = candidates.flatMap((candidate) => {
    const name = printable(candidate.rules);
    return [
      ...section(`By rule of ${name}`, ruleRows(candidate)),
      ...section(`By kind of attack, under ${name}`, kindRows(candidate)),
    ];
  });
  return [table(rows), ...sections];
}

function differences({ candidates, comparison }: BacktestReport): readonly string[] {
  const [first, second] = candidates;
  const { refused, blocks } = comparison!;
  const names = [printable(first!.rules), printable(second!.rules)] as const;
  const rows = [
    ['', `${names[0]} only`, `${names[1]} only`, 'both'],
    [
      'Messages refused',
      ...[refused.onlyFirst, refused.onlySecond, refused.both].map(({ messages }) => grouped(messages)),
    ],
  ];
  const shared = [
    sharedText(names[0], blocks.first, names[1]),
    sharedText(names[1], blocks.second, names[0]),
  ];
  const lists = candidates.flatMap((candidate, index) => {
    const own = candidate.cases.filter((one) => one.action === 'block' && one.shared === false);
    return section(
      `Blocked by ${names[index]} only`,
      own.length === 0 ? [] : [CASE_HEAD, ...own.map(caseRow)],
    );
  });
  const leftOut = candidates.reduce((sum, { casesLeftOut }) => sum + casesLeftOut, 0);
  return [
    table(rows),
    '',
    ...shared,
    ...lists,
    ...more(
      leftOut,
      candidates.reduce((sum, { cases }) => sum + cases.length, 0),
    ),
  ];
}

/** Two blocks that meet need not be one and one: a long one of these rules may meet several short ones of those. */
function sharedText(name: string, { shared, only }: Sides, other: string): string {
  if (shared + only === 0) return `${name}: no block`;
  const blocks = counted(shared + only, 'block');
  return `${name}: ${blocks}, ${grouped(shared)} of a subject that ${other} blocked too at the time, ${grouped(only)} not`;
}

function figures(candidate: CandidateReport, senderDays: number): readonly Figure[] {
  const { rules, mode, refused, accepted, attempts, blocks, proposals, right, wrong, score } = candidate;
  const rate = (count: number): string =>
    senderDays === 0
      ? grouped(count)
      : `${grouped(count)} (${((1000 * count) / senderDays).toFixed(1)} per 1,000 sender-days)`;
  return [
    ['Rules', `${printable(rules)}${mode === 'observe' ? ' (mode: observe)' : ''}`],
    ['Let through', mailText(accepted)],
    ['Refused', mailText(refused)],
    ...attemptFigures(attempts),
    ['Blocks', rate(blocks)],
    ['Proposals', rate(proposals)],
    ...(right + wrong === 0 ? [] : [['Judged', `${grouped(right)} right, ${grouped(wrong)} wrong`] as const]),
    ...(score === null ? [] : scoreFigures(score)),
  ];
}

function attemptFigures({ refused, letThrough }: CandidateReport['attempts']): readonly Figure[] {
  if (refused + letThrough === 0) return [];
  return [
    [
      'Refused when recorded',
      `${counted(refused, 'attempt')} also by these rules, ${grouped(letThrough)} not`,
    ],
  ];
}

function scoreFigures(score: Score): readonly Figure[] {
  return [
    ['Attacks contained', `${score.contained} of ${score.attacks}${absentText(score)}`],
    [
      'Attack recipients leaked',
      `${percent(score.leakedShare)}; median ${grouped(score.leakedMedian)}, 95th percentile ${grouped(score.leakedP95)} an attack`,
    ],
    [
      'Wrong blocks',
      `${grouped(score.wrongBlocks)} (${score.wrongBlocksPer1000SenderDays.toFixed(2)} per 1,000 sender-days)`,
    ],
    ['Clean mail stopped', percent(score.cleanStoppedShare)],
    ['Owners’ own mail stopped', percent(score.ownersStoppedShare)],
    ['Bulk mail stopped', percent(score.bulkStoppedShare)],
  ];
}

function absentText({ absent }: AttackScore): string {
  return absent === 0 ? '' : `; of ${grouped(absent)} more there is no message here`;
}

function ruleRows({ byRule }: CandidateReport): readonly Row[] {
  if (byRule.length === 0) return [];
  return [
    ['RULE', 'BLOCKS', 'PROPOSALS', 'OBSERVED', 'EXEMPTED', 'RIGHT', 'WRONG', 'REFUSED'],
    ...byRule.map(({ rule, blocks, proposals, observed, exempted, right, wrong, refused }) => [
      rule,
      ...[blocks, proposals, observed, exempted, right, wrong].map(grouped),
      mailText(refused),
    ]),
  ];
}

/** Leaked are recipients: before the first message of an attack was stopped, and after it. */
function kindRows({ score }: CandidateReport): readonly Row[] {
  const kinds = Object.entries(score?.byKind ?? {});
  if (kinds.length === 0) return [];
  return [
    ['KIND', 'ATTACKS', 'CONTAINED', 'LEAKED', 'MEDIAN', 'BEFORE A BLOCK', 'AFTERWARDS', 'FIRST BLOCKED BY'],
    ...kinds.map(([kind, of]) => {
      const rules = Object.entries(of.caughtBy).map(([rule, attacks]) => `${rule} ${grouped(attacks)}`);
      const figures = [of.leakedMedian, of.leakedBefore, of.leakedAfter].map(grouped);
      return [
        printable(kind),
        `${grouped(of.attacks)}${of.absent === 0 ? '' : ` (${grouped(of.absent)} more not here)`}`,
        grouped(of.contained),
        percent(of.leakedShare),
        ...figures,
        rules.join(', ') || '-',
      ];
    }),
  ];
}

const CASE_HEAD: Row = [
  'FROM (UTC)',
  'UNTIL',
  'SUBJECT',
  'DECISION',
  'SENT THAT DAY',
  'REFUSED',
  'JUDGED',
  'EVIDENCE',
];

function caseRow(one: CaseReport): Row {
  const { proposedAt, blockedAt, until, ended, endedAt, subject, action, sentThatDay, refused, judged } = one;
  const end = endedAt ?? until;
  const how = ended === null || ended === 'expired' ? '' : ` ${ended}`;
  return [
    minute(proposedAt ?? blockedAt!),
    `${end === null ? '-' : minute(end)}${how}`,
    `${subject.type} ${printable(subject.value)}`,
    action,
    sentThatDay === null
      ? '-'
      : `${grouped(sentThatDay.messages)} msg, ${grouped(sentThatDay.recipients)} rcpt`,
    action === 'block' ? grouped(refused.messages) : '-',
    judged ?? '-',
    evidenceText(one),
  ];
}

function section(title: string, rows: readonly Row[]): readonly string[] {
  return rows.length === 0 ? [] : ['', `${title}:`, table(rows)];
}

function more(leftOut: number, listed: number): readonly string[] {
  return leftOut === 0 ? [] : [`… and ${grouped(leftOut)} more: --cases ${leftOut + listed} lists all`];
}

function mailText({ messages, recipients }: Readonly<Mail>): string {
  return `${counted(messages, 'message')} (${counted(recipients, 'recipient')})`;
}

/** What was seen and what is allowed. The subject is left out, because another column has it. */
function evidenceText({ subject, evidence: { sentence } }: CaseReport): string {
  const at = sentence.indexOf(`${subject.value}: `);
  return printable(at < 0 ? sentence : sentence.slice(at + subject.value.length + 2));
}

function counted(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function minute(instant: string): string {
  return instant.slice(0, 16).replace('T', ' ');
}
