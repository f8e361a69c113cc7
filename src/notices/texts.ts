import type { NoticeEvent, Placeholder, Texts } from '../config/notices.js';
import { NOTICE_EVENTS, PLACEHOLDER } from '../config/notices.js';
import { actorName } from '../kernel/actor.js';
import { printable } from '../kernel/printable.js';
import { formatInstant } from '../kernel/time.js';
import { sum } from './gathering.js';
import type { Item, Notice } from './events.js';

/** A notice as people read it. */
export interface NoticeText {
  readonly title: string;
  readonly lines: readonly string[];
  /** Where it can be looked at; a visit changes nothing. */
  readonly link: string | undefined;
}

const WORDS: Readonly<Record<NoticeEvent, readonly [one: string, several: string]>> = {
  proposed: ['block proposed', 'blocks proposed'],
  imposed: ['sender blocked', 'senders blocked'],
  approved: ['proposal approved', 'proposals approved'],
  dismissed: ['proposal dismissed', 'proposals dismissed'],
  released: ['block released', 'blocks released'],
  expired: ['block expired', 'blocks expired'],
  lapsed: ['proposal lapsed', 'proposals lapsed'],
  breaker: ['circuit breaker open', 'circuit breakers open'],
};

/** What to do about it. An owner can do nothing here but ask. */
function remedyOf({ event, block, over }: Item): string | undefined {
  if (over !== undefined) return undefined;
  switch (event) {
    case 'proposed':
      return `Approve or dismiss it: stopgap block approve ${block}, stopgap block dismiss ${block}`;
    case 'imposed':
    case 'approved':
      return `If it is wrong: stopgap block release ${block} --false-positive`;
    case 'lapsed':
      return 'Nobody answered, so the sender goes on.';
    case 'breaker':
      return 'Look at what is proposed (stopgap block list), and at the rules that trip.';
    case 'dismissed':
    case 'released':
    case 'expired':
      return undefined;
  }
}

/** Said only where {@link isByOwn} holds. */
const FOR_OWNERS: Readonly<Partial<Record<NoticeEvent, string>>> = {
  imposed:
    'Somebody else may have the password: change it, look for forwarding rules, then ask the administrators.',
  approved:
    'Somebody else may have the password: change it, look for forwarding rules, then ask the administrators.',
  proposed: 'If this mail was not meant, change the password now.',
};

/**
 * Whether it was somebody with a password who sent. Of an address and a domain any stranger's mail counts where it is mail that
 * arrives: the return path may be forged. A person who blocks in all directions means the owner's mail too.
 */
function isByOwn({ subject, direction, rule }: Item): boolean {
  if (subject?.type === 'account') return true;
  return direction !== 'inbound' && (direction !== 'all' || rule === undefined);
}

/**
 * All the words of a notice. What comes from outside is printable and of one line.
 *
 * @param texts the channel's own ones, in place of the built-in lines
 */
export function textOf(notice: Notice, publicUrl: string | undefined, texts: Texts = {}): NoticeText {
  const { kind, items, counts, to } = notice;
  const total = sum(counts);
  const isOwner = to !== undefined;
  const lines = items.flatMap((item) => {
    const own = texts[item.event];
    const ownLines = own === undefined ? [] : filled(own, valuesOf(item, isOwner, publicUrl));
    // Where nothing of it is left, something is said all the same.
    if (ownLines.length === 0) return linesOf(item, isOwner);
    return item.over === undefined ? ownLines : [...ownLines, overOf(item.over, isOwner)];
  });
  if (total > items.length) lines.push(`… and ${total - items.length} more.`);
  const [only] = items;
  const link =
    publicUrl === undefined || to !== undefined || kind === 'breaker'
      ? undefined
      : linkOf(publicUrl, total === 1 ? (only ?? {}) : areProposals(items) ? { event: 'proposed' } : {});
  return { title: titleOf(notice), lines, link };
}

const areProposals = (items: readonly Item[]): boolean => items.every(({ event }) => event === 'proposed');

function titleOf({ kind, items, counts, over = {} }: Notice): string {
  const what = NOTICE_EVENTS.filter((event) => counts[event] !== undefined)
    .map((event) => `${countedEvent(event, counts[event]!)}${overText(counts[event]!, over[event])}`)
    .join(', ');
  const only = items.length === 1 && sum(counts) === 1 ? items[0]!.subject : undefined;
  const whom = only === undefined ? '' : `: ${only.type} ${printable(only.value)}`;
  const prefix =
    kind === 'test' ? 'Stopgap (test)' : kind === 'waiting' ? 'Stopgap, still waiting' : 'Stopgap';
  return `${prefix}: ${what}${whom}`;
}

function countedEvent(event: NoticeEvent, count: number): string {
  const [one, several] = WORDS[event];
  return count === 1 ? one : `${count} ${several}`;
}

function overText(count: number, over = 0): string {
  if (over === 0) return '';
  return count === over ? ' (over already)' : ` (${over} of them over already)`;
}

/** A text with values in it, line by line. A line that names what there is not is left out. */
function filled(text: string, values: Readonly<Record<Placeholder, string | undefined>>): string[] {
  return text.split('\n').flatMap((line) => {
    let isWhole = line.trim() !== '';
    const said = line.replace(PLACEHOLDER, (_place, name: Placeholder) => {
      isWhole &&= values[name] !== undefined;
      return values[name] ?? '';
    });
    return isWhole ? [printable(said)] : [];
  });
}

/** What may be told of an item, by placeholder. What people write is for the house, and so is who they are. */
function valuesOf(
  item: Item,
  isOwner: boolean,
  publicUrl: string | undefined,
): Readonly<Record<Placeholder, string | undefined>> {
  const { event, subject, rule, why, until, by, note, block, over } = item;
  const isOver = over !== undefined || event === 'expired' || event === 'released';
  const hasLink = publicUrl !== undefined && block !== undefined && !isOwner;
  return {
    subject: subject === undefined ? undefined : `${subject.type} ${printable(subject.value)}`,
    rule: rule === undefined ? undefined : printable(rule),
    sentence: why === '' || (isOwner && rule === undefined) ? undefined : printable(why),
    until: typeof until !== 'number' || isOver ? undefined : formatInstant(until),
    link: hasLink ? linkOf(publicUrl, item) : undefined,
    by: isOwner ? undefined : printable(actorName(by)),
    note: note === undefined || isOwner ? undefined : printable(note),
  };
}

function linesOf(item: Item, isOwner: boolean): string[] {
  const { event, until, at, over } = item;
  const { subject, sentence, by, note } = valuesOf(item, isOwner, undefined);
  const whom = subject === undefined ? '' : `${subject}: `;
  const who = by === undefined ? '' : ` by ${by}`;
  const lines = [`${whom}${WORDS[event][0]} at ${formatInstant(at)}${who}.`];
  if (sentence !== undefined) lines.push(`Why: ${sentence}`);
  if (over !== undefined) lines.push(overOf(over, isOwner));
  else if (until !== undefined && event !== 'expired' && event !== 'released')
    lines.push(untilOf(event, until));
  if (note !== undefined) lines.push(`Note: ${note}`);
  // Who was let go has been looked at. A thief may still have the password where time has run out.
  const forOwner = over?.event === 'released' || !isByOwn(item) ? undefined : FOR_OWNERS[event];
  const remedy = isOwner ? forOwner : remedyOf(item);
  if (remedy !== undefined) lines.push(remedy);
  return lines;
}

function overOf({ event, at, by }: NonNullable<Item['over']>, isOwner: boolean): string {
  const when = formatInstant(at);
  if (event === 'expired') return `It is over: it ran out at ${when}.`;
  return `It is over: released at ${when}${isOwner ? '' : ` by ${printable(actorName(by))}`}.`;
}

function untilOf(event: NoticeEvent, until: number | null): string {
  if (until === null) return 'It has no end.';
  return event === 'proposed'
    ? `It lapses at ${formatInstant(until)}.`
    : `It ends at ${formatInstant(until)}.`;
}

/** The place on the administrators' page: of one item, or of several the list. */
export function linkOf(publicUrl: string, { event, block }: Partial<Pick<Item, 'event' | 'block'>>): string {
  const list = event === 'proposed' ? 'proposals' : 'blocks';
  return `${publicUrl}/#/${list}${block === undefined ? '' : `/${encodeURIComponent(block)}`}`;
}

/** A notice as programs read it. */
export function bodyOf(
  channel: string,
  notice: Notice,
  publicUrl: string | undefined,
): Record<string, unknown> {
  const { kind, at, items, counts } = notice;
  const total = sum(counts);
  return {
    type: `stopgap.${kind}`,
    timestamp: formatInstant(at),
    data: {
      channel,
      title: titleOf(notice),
      counts,
      more: total - items.length,
      items: items.map((item) => ({
        event: item.event,
        position: item.position,
        at: formatInstant(item.at),
        by: item.by,
        block: item.block ?? null,
        subject: item.subject === undefined ? null : { type: item.subject.type, value: item.subject.value },
        rule: item.rule ?? null,
        why: item.why,
        note: item.note ?? null,
        until: item.until === undefined || item.until === null ? null : formatInstant(item.until),
        over:
          item.over === undefined
            ? null
            : { event: item.over.event, at: formatInstant(item.over.at), by: item.over.by },
        link: publicUrl === undefined || item.block === undefined ? null : linkOf(publicUrl, item),
      })),
    },
  };
}
