import { givenUpText } from '../kernel/given-up.js';
import { printable } from '../kernel/printable.js';
import type { Instant } from '../kernel/time.js';
import { MOST_HELD_WORDS } from '../sending/most-held.js';
import type { Schemas } from './client.js';
import { blockDetails } from './client-format.js';
import { table } from './io.js';

type Report = Schemas['ContainmentReport'];
type Rows = readonly (readonly string[])[];

/** A containment report for the administrator: what is known of the block, and then the numbers. */
export function reportText(report: Report, now: Instant): string {
  const {
    block,
    onset,
    before,
    after,
    letGo,
    past,
    bounces,
    sources,
    otherSources,
    stopped,
    told,
    held,
    keptSince,
  } = report;
  const passed = (when: string, mail: Report['before']): readonly string[] => {
    // What is gone is not nothing.
    const known = keptSince !== null && mail?.recipients === 0 ? null : mail;
    return [
      when,
      ...[known?.messages, known?.recipients, known?.refusedRecipients].map((sum) => String(sum ?? '-')),
      known?.first ?? '-',
      known?.last ?? '-',
    ];
  };
  const parts: Rows[] = [
    [
      ['GOT THROUGH', 'MESSAGES', 'RECIPIENTS', 'REFUSED BEHIND', 'FIRST', 'LAST'],
      passed(before !== null && block.evidence === null ? 'the day before' : 'before the block', before),
      ...(block.since === null
        ? []
        : [passed(letGo ? 'under way or let go' : 'under way', after), passed('past the block', past)]),
    ],
    headed(
      ['FROM', 'MESSAGES', 'RECIPIENTS'],
      sources.map(({ ip, messages, recipients }) => [printable(ip), String(messages), String(recipients)]),
    ),
    headed(
      ['STOPPED AT', 'REFUSALS', 'FIRST', 'LAST'],
      stopped.map(({ stage, refusals, first, last }) => [stage, String(refusals), first, last]),
    ),
    headed(
      ['TOLD AT', 'TIMES', 'FIRST', 'LAST', 'REPLY'],
      told.map(({ stage, refusals, first, last, reply }) => [
        stage,
        String(refusals),
        first,
        last,
        printable(reply),
      ]),
    ),
  ];
  const givenUp = givenUpText(block.history, held.waiting);
  const sentences = [
    ...(before === null
      ? ['What got through before a block without evidence of mail is counted of an account alone.']
      : []),
    ...(onset === null
      ? []
      : [
          `It may have begun at ${onset.at}: what got through since then is counted, which may be more than the evidence counts.`,
        ]),
    ...(report.pastWhy === null ? [] : [report.pastWhy]),
    ...(otherSources === 0 ? [] : [`It came from ${otherSources} more addresses.`]),
    ...(report.otherReplies === 0 ? [] : [`Other replies were given ${report.otherReplies} times.`]),
    ...(bounces === 0 ? [] : [`Bounces that came back: ${bounces}.`]),
    ...(held.messages === 0
      ? []
      : [
          `Messages that were held: ${held.messages}, of which ${held.waiting} are ${givenUp === '' ? 'still held' : `listed as held: ${givenUp}`}.`,
        ]),
    ...(held.decided === null
      ? []
      : [
          `Of what is listed ${held.decided.count} ${held.decided.count === 1 ? 'is' : 'are'} to be ${held.decided.action}d, and no hook has done it.`,
        ]),
    ...(held.sentOn === 0
      ? []
      : [
          `Of these ${held.sentOn} ${held.sentOn === 1 ? 'was' : 'were'} sent while the block was in force, as a mail server has reported${held.waiting === 0 ? '' : '; what was let go by hand is listed as held until the hook has released or deleted it'}.`,
        ]),
    ...(held.moved === 0
      ? []
      : [
          `Of these ${held.moved} stayed on hold for other blocks of their sender, and what becomes of it is decided there${thereText(held.elsewhere)}.`,
        ]),
    ...(held.unheld === 0
      ? []
      : [
          `Mail that was to be held and could not be was refused ${held.unheld === 1 ? 'once' : `${held.unheld} times`}: it has to be sent again.`,
        ]),
    ...(held.full === 0
      ? []
      : [
          `It was refused ${held.full === 1 ? 'once' : `${held.full} times`} since the block held as much as one may (${MOST_HELD_WORDS}): decide on what is held, and there is room again.`,
        ]),
    ...(held.queued === 0
      ? []
      : [`Of these ${held.queued} were found in the queue: some of their recipients may have them.`]),
    ...(report.coveredUntil === null
      ? []
      : [`There are too many events to read: what came after ${report.coveredUntil} is not counted.`]),
    ...(keptSince === null
      ? []
      : [`What was sent and refused before ${keptSince} is not kept any more, and not counted.`]),
  ];
  const tables = parts.filter((rows) => rows.length > 0).map(table);
  return [
    blockDetails(block, now),
    ...tables,
    ...(sentences.length === 0 ? [] : [sentences.join('\n')]),
  ].join('\n\n');
}

/** What is known of mail that other blocks took over. */
function thereText({ released, deleted, waiting }: Report['held']['elsewhere']): string {
  const known = [
    ...(released === 0 ? [] : [`${released} released`]),
    ...(deleted === 0 ? [] : [`${deleted} deleted`]),
    ...(waiting === 0 ? [] : [`${waiting} still held`]),
  ];
  return known.length === 0 ? '' : `: ${known.join(', ')}`;
}

/** Nothing where there are no rows. */
function headed(head: readonly string[], rows: Rows): Rows {
  return rows.length === 0 ? [] : [head, ...rows];
}
