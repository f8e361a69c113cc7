import { actorName } from '../kernel/actor.js';
import { givenUpText, runsOnHeld } from '../kernel/given-up.js';
import { printable } from '../kernel/printable.js';
import type { Instant, Milliseconds } from '../kernel/time.js';
import { DAY, HOUR, MINUTE, SECOND } from '../kernel/time.js';
import { numbersOf } from '../kernel/why.js';
import { isQueueId } from '../sending/events.js';
import type { AnswerOf, Schemas } from './client.js';
import { table } from './io.js';

export type Block = Schemas['Block'];
export type HeldMail = AnswerOf<'/api/v1/blocks/{id}/held'>;

/** `in 42m`, `3h ago`, `now`; `-` for no time at all. */
export function relative(at: string | null, now: Instant): string {
  if (at === null) return '-';
  const away = Date.parse(at) - now;
  if (Math.abs(away) < SECOND) return 'now';
  return away > 0 ? `in ${coarse(away)}` : `${coarse(-away)} ago`;
}

/** A span as people say it: its largest unit, and the next one if that helps. */
function coarse(span: Milliseconds): string {
  if (span < MINUTE) return `${Math.max(1, Math.round(span / SECOND))}s`;
  if (span < HOUR) return `${Math.round(span / MINUTE)}m`;
  const [large, largeName, small, smallName] =
    span < 2 * DAY ? ([HOUR, 'h', MINUTE, 'm'] as const) : ([DAY, 'd', HOUR, 'h'] as const);
  const rounded = Math.round(span / small) * small;
  const rest = (rounded % large) / small;
  return `${Math.floor(rounded / large)}${largeName}${rest === 0 ? '' : `${rest}${smallName}`}`;
}

/** When it ends, ended, or lapses. */
export function ending(block: Block, now: Instant): string {
  switch (block.state) {
    case 'active':
      return block.indefinite ? 'indefinite' : relative(block.until, now);
    case 'proposed':
      return `lapses ${relative(block.lapsesAt, now)}`;
    case 'released':
    case 'expired':
    case 'dismissed':
    case 'lapsed':
      return relative(block.endedAt, now);
  }
}

/** The shortest beginnings that differ, at least 13 characters (the time in an id). */
function shortIds(ids: readonly string[]): readonly string[] {
  let length = 13;
  while (length < 36 && new Set(ids.map((id) => id.slice(0, length))).size < ids.length) length++;
  return ids.map((id) => id.slice(0, length).replace(/-$/, ''));
}

/** {@link tableWithin} makes the last column fit. */
export function blockRows(blocks: readonly Block[], now: Instant): readonly (readonly string[])[] {
  const ids = shortIds(blocks.map(({ id }) => id));
  return [
    ['ID', 'STATE', 'SUBJECT', 'DIRECTION', 'BY', 'SINCE', 'ENDS', 'WHY'],
    ...blocks.map((block, index) => [
      ids[index]!,
      block.state,
      `${block.subject.type} ${printable(block.subject.value)}`,
      block.direction,
      whose(block),
      relative(block.since ?? block.proposedAt, now),
      ending(block, now),
      printable(whyOf(block)),
    ]),
  ];
}

/** One block with everything that is known of it. */
export function blockDetails(block: Block, now: Instant): string {
  const { id, state, subject, direction, refusal, description, since, until, evidence, history } = block;
  const when = (at: string | null): string => (at === null ? '-' : `${at} (${relative(at, now)})`);
  const lines: (readonly [string, string])[] = [
    ['id', id],
    ['state', `${state}${block.falsePositive ? ' (false positive)' : ''}`],
    ['subject', `${subject.type} ${printable(subject.value)}`],
    ['direction', direction],
    ['refuses', refusal],
    ['by', whose(block)],
    ['why', printable(description)],
    ...(evidence === null ? [] : [['evidence', printable(evidence.sentence)] as const]),
    ...(evidence?.accounts === undefined
      ? []
      : [['accounts', printable(evidence.accounts.join(', '))] as const]),
    ...(block.proposedAt === null ? [] : [['proposed', when(block.proposedAt)] as const]),
    ...(state === 'proposed'
      ? ([
          ['would last', block.duration ?? '-'],
          ['lapses', when(block.lapsesAt)],
        ] as const)
      : []),
    ...(since === null
      ? []
      : ([
          ['since', when(since)],
          ['until', block.indefinite ? 'released' : when(until)],
        ] as const)),
    ...(block.follows === null ? [] : [['follows', followed(block.follows)] as const]),
    ...(block.endedAt === null ? [] : [['ended', when(block.endedAt)] as const]),
  ];
  const head = lines.map(([name, value]) => `${name.padEnd(11)}${value}`.trimEnd());
  const past = history.map(({ at, type, by, note, until: end, refusal: told, held, hook, evidence: why }) => {
    const more = [
      end === undefined ? '' : end === null ? 'indefinite' : `until ${end}`,
      told === undefined ? '' : `refusal: ${told}`,
      held === undefined ? '' : `held mail: ${held}`,
      hook === undefined ? '' : hookText(hook),
      // What it began with stands above.
      why === undefined || type !== 'BlockExtended' ? '' : printable(why.sentence),
      note === undefined ? '' : `"${printable(note)}"`,
    ];
    return `  ${at}  ${type}  ${printable(actorName(by))}  ${more.filter((text) => text !== '').join('  ')}`.trimEnd();
  });
  return [...head, '', 'history', ...past].join('\n');
}

function hookText({
  action,
  outcome,
  asked,
  acted,
  moved = 0,
  output = '',
}: NonNullable<Block['history'][number]['hook']>): string {
  const said =
    output === ''
      ? ''
      : `: ${output
          .split('\n')
          .map((line) => printable(line))
          .join(' | ')}`;
  const stay = moved === 0 ? '' : `, ${moved} on hold for other blocks`;
  // An administrator of a domain is not told how much of it was mail of others.
  const counts = acted === undefined || asked === undefined ? '' : `, ${acted} of ${asked}`;
  return `${action} ${outcome}${counts}${stay}${said}`;
}

/** Where some of the held mail is not the caller's to decide on. */
export const OPERATOR_DECIDES = 'an operator decides, since mail of other domains is held too';

/** What has become of the held mail, or why nothing has. Empty while its block is in force and nobody has decided. */
export function heldState(block: Block, held: HeldMail): string {
  const parts = [givenUpText(block.history, held.count), decisionState(block, held)];
  return parts.filter((part) => part !== '').join('; ');
}

function decisionState({ state, history }: Block, { count, decided, items, others }: HeldMail): string {
  const left = count - (decided?.count ?? 0);
  // A decision is about all that is held by then.
  const options = decided === null ? '--release, --delete' : `--release or --delete is about all ${count}`;
  const who = others ? OPERATOR_DECIDES : options;
  const which = decided === null ? 'them' : `the other ${left}`;
  return [
    decided === null ? doneText(history, count) : decidedText(decided, { count, items, others }),
    left === 0 || state === 'active' ? '' : `nobody has decided what becomes of ${which} (${who})`,
  ]
    .filter((part) => part !== '')
    .join('; ');
}

function decidedText(
  { action, count: some, failed }: NonNullable<HeldMail['decided']>,
  { count, items, others }: Pick<HeldMail, 'count' | 'items' | 'others'>,
): string {
  const be = some === count ? '' : `${some} of these ${some === 1 ? 'is' : 'are'} `;
  if (failed)
    return `${be}to be ${action}d, and the hook has failed: ${others ? OPERATOR_DECIDES : '--release or --delete asks it anew'}`;
  if (items.length === count && items.every(({ queueId }) => !isQueueId(queueId)))
    return `${be}to be ${action}d by hand: no hook is asked, since no queue id of Postfix or Exim is known for them`;
  return `${be}to be ${action}d, but no hook has done it: none is set (hooks.run), or it is called again (see the log)`;
}

/** What the last call left on hold. */
function doneText(history: Block['history'], count: number): string {
  const run = runsOnHeld(history).at(-1);
  if (run?.outcome !== 'done') return '';
  const { action, acted = 0, asked = 0, moved = 0 } = run;
  const stay = `${moved} stayed on hold for other blocks of the sender, where that is decided`;
  return [
    ...(acted < asked
      ? [`the hook ${action}d ${acted} of ${asked}: the rest was not on hold where it looks`]
      : []),
    ...(moved > 0 ? [`${stay}${count > 0 ? '; what is listed is decided here' : ''}`] : []),
  ].join('; ');
}

/** What is held for a block, the newest first. */
export function heldText(block: Block, held: HeldMail): string {
  const { count, items } = held;
  const state = heldState(block, held);
  const rows = items.map(({ queueId, account, returnPath, recipients, size, at }) => [
    at,
    printable(queueId),
    printable(account ?? '-'),
    printable(returnPath === '' ? '<>' : (returnPath ?? '-')),
    String(recipients),
    String(size),
  ]);
  const first = [
    `held: ${count} message${count === 1 ? '' : 's'}`,
    ...(held.full ? ['the block holds as much as one may: more mail is told to come again'] : []),
    ...(state === '' ? [] : [state]),
    ...(count > items.length && items.length > 0 ? [`the newest ${items.length}:`] : []),
  ].join('; ');
  if (items.length === 0) return first;
  return `${first}\n${table([['AT', 'QUEUE ID', 'ACCOUNT', 'RETURN PATH', 'RECIPIENTS', 'BYTES'], ...rows])}`;
}

function followed(follows: NonNullable<Block['follows']>): string {
  const note = follows.note === undefined ? '' : `, "${follows.note}"`;
  return printable(`${follows.block.slice(0, 13)}, ${followedText(follows)}${note}`);
}

function whose({ origin, rule }: Block): string {
  return origin === 'rule' ? `rule ${rule ?? '?'}` : rule === null ? 'admin' : `admin (rule ${rule})`;
}

/**
 * Why a block is there, in as few words as a row of a list has room for: what was counted, then what was allowed, then
 * the rest of the evidence's sentence without what other columns say. Where there are no numbers, what the
 * administrator gave as the reason.
 */
export function whyOf(block: Block): string {
  const { evidence, description, history, origin, follows } = block;
  const ownReason =
    origin === 'admin' && description !== '' && !history.some(({ type }) => type === 'ProposalApproved');
  const since = follows === null ? [] : [`after one ${followedText(follows)}`];
  if (evidence === null || ownReason) return [description, ...since].filter((text) => text !== '').join('; ');
  return numbersOf(block.subject, evidence, since);
}

/** `released at 03:12 UTC by carol as a false positive`: the date is that of what follows within the hour. */
function followedText({ state, at, by, falsePositive }: NonNullable<Block['follows']>): string {
  const wrong = falsePositive ? ' as a false positive' : '';
  return `${state} at ${at.slice(11, 16)} UTC by ${printable(actorName(by))}${wrong}`;
}
