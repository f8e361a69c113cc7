import type { Instant } from '../kernel/time.js';
import { HOUR, MINUTE, SECOND, formatDuration, formatInstant } from '../kernel/time.js';
import { nameOf } from '../rules/explain.js';
import type { Subject } from '../sending/subjects.js';
import type { Beginning } from './check-history.js';
import type { BlockJson } from './shapes.js';

export interface Refusing {
  readonly block: BlockJson;
  readonly subject: Subject;
}

interface CameAs {
  readonly at: string;
  readonly stage: 'auth' | 'rcpt' | 'data';
  readonly ip: string | null;
  readonly ehlo: string | null;
}

/** @param begins undefined where there is no event */
export function refusalSentence(
  refusing: Refusing | undefined,
  at: Instant,
  isPast: boolean,
  begins: Beginning | undefined,
): string {
  const verb = isPast ? 'was' : 'is';
  if (refusing === undefined) {
    if (isPast && begins !== undefined && at < begins.at) return nothingKnown(at, begins);
    return `This sender ${verb} not refused: no block ${isPast ? `in force at ${formatInstant(at)}` : 'in force'} covers it.`;
  }
  const { block, subject } = refusing;
  const ends = block.until === null ? 'until it is released' : until(block.until, at);
  const whose = block.origin === 'rule' ? `by rule "${block.rule ?? '?'}"` : 'by an administrator';
  const given = block.description === '' ? '' : `The reason given: ${ended(block.description)}`;
  const why = block.evidence?.sentence ?? given;
  return `This sender ${verb} refused: ${lowerFirst(nameOf(subject))} ${verb} blocked ${whose} ${ends}. ${why}`.trim();
}

function nothingKnown(at: Instant, begins: Beginning): string {
  const why = begins.isImported
    ? `Stopgap began here at ${formatInstant(begins.at)}, and what there is of before was imported`
    : `the first event here is of ${formatInstant(begins.at)}`;
  return `Nothing is recorded of ${formatInstant(at)}: ${why}. Whether this sender was refused is not known.`;
}

function ended(text: string): string {
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}

function until(end: string, at: Instant): string {
  const left = Date.parse(end) - at;
  // Nobody plans by the second what lasts for hours.
  const unit = left > HOUR ? MINUTE : SECOND;
  const rounded = Math.max(1, Math.round(left / unit)) * unit;
  return left > 0 ? `until ${end} (for another ${formatDuration(rounded)})` : `until ${end}`;
}

function lowerFirst(text: string): string {
  return /^(EHLO|IP)/.test(text) ? text : text.charAt(0).toLowerCase() + text.slice(1);
}

/** Under which other identity a refusal of before met the account. */
export function cameAs({ at, stage, ip, ehlo }: CameAs): string {
  const where = [...(ip === null ? [] : [`from ${ip}`]), ...(ehlo === null ? [] : [`as ${ehlo}`])];
  const when = { auth: 'at AUTH', rcpt: 'at RCPT TO', data: 'after DATA' }[stage];
  return `It was refused ${when} at ${at}${where.length === 0 ? '' : `, when it came ${where.join(' ')}`}.`;
}
