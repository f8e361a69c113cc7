import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { answered, api } from '../api.js';
import { actorName } from '../../kernel/actor.js';
import { numbersOf } from '../../kernel/why.js';
import type { Block, Change, Subject } from '../api.js';
import { senderPath, useHref } from '../route.js';
import { Time } from '../time.js';

const NAMES: Readonly<Record<Subject['type'], string>> = {
  account: 'Account',
  address: 'Address',
  domain: 'Domain',
  ehlo: 'EHLO name',
  ip: 'IP',
};

export const SUBJECT_OPTIONS = Object.entries(NAMES);

export const subjectName = ({ type, value }: Subject): string => `${NAMES[type].toLowerCase()} ${value}`;

/** A sender by its name, which leads to all that is known of it. */
export function SubjectLink({ subject }: { subject: Subject }) {
  const href = useHref();
  return (
    <>
      <a href={`#${href(senderPath(subject))}`}>{subject.value}</a>{' '}
      {subject.type !== 'account' && <span className="tag">{NAMES[subject.type]}</span>}
    </>
  );
}

const STATES: Readonly<Record<Block['state'], { text: string; tone: string }>> = {
  proposed: { text: 'waits for you', tone: 'tag-warn' },
  active: { text: 'in force', tone: 'tag-bad' },
  released: { text: 'released', tone: '' },
  expired: { text: 'expired', tone: '' },
  dismissed: { text: 'dismissed', tone: '' },
  lapsed: { text: 'lapsed', tone: '' },
};

export function StateTag({ block }: { block: Block }) {
  const { text, tone } = STATES[block.state];
  return (
    <span className={`tag ${tone}`}>
      {text}
      {block.falsePositive && ', a false positive'}
    </span>
  );
}

/** Who asked for it: a rule, or a person, whose block may have taken the place of a proposal. */
export function Origin({ block: { rule, origin, history } }: { block: Block }): ReactNode {
  const name = rule !== null && <span className="mono">{rule}</span>;
  if (origin === 'rule') return name;
  const by = history.findLast(({ type }) => type === 'BlockImposed')?.by ?? history[0]?.by ?? origin;
  return (
    <>
      {actorName(by)}
      {name && <> (rule {name})</>}
    </>
  );
}

/** What the client was told. `HOLD` is said to the mail server alone. */
export function ReplyTold({ reply }: { reply: string }) {
  return reply === 'HOLD' ? <>Nothing: the mail was to be taken and held</> : <code>{reply}</code>;
}

/** How long it goes on, or when it ended. */
export function End({ block }: { block: Block }) {
  if (block.state === 'proposed') return <>lapses in {<Time at={block.lapsesAt} as="left" />}</>;
  if (block.endedAt !== null)
    return (
      <>
        ended <Time at={block.endedAt} as="ago" />
      </>
    );
  if (block.indefinite) return <>until released</>;
  return <Time at={block.until} as="left" />;
}

/** What the block's evidence or its author says. */
export const whyOf = (block: Block): string => block.evidence?.sentence ?? block.description;

/** The same where the subject and the rule have columns of their own: the numbers come first. */
export const shortWhyOf = ({ subject, evidence, description }: Block): string =>
  evidence === null ? description : numbersOf(subject, evidence);

const CHANGED: Readonly<Record<string, string>> = {
  BlockImposed: 'Blocked',
  BlockExtended: 'Changed the block',
  BlockShortened: 'Shortened the block',
  BlockReleased: 'Released',
  ProposalApproved: 'Approved the proposal',
  ProposalDismissed: 'Dismissed the proposal',
  ExemptionGranted: 'Exempted',
  ExemptionRevoked: 'Ended the exemption',
  OverrideSet: 'Set limits',
  OverrideRemoved: 'Removed limits',
  RulesChanged: 'Changed the rules',
  ShadowRulesChanged: 'Started shadow rules',
  ShadowRulesRemoved: 'Removed the shadow rules',
  ShadowRulesPromoted: 'Promoted the shadow rules',
  PersonChanged: 'Changed a person',
  PersonForgotten: 'Forgot a person',
};

export const HELD_BECOMES = { release: 'delivered', delete: 'deleted', keep: 'kept' } as const;

/** What a change was, before the name of its subject. */
export function changedText({ type, held }: Pick<Change, 'type' | 'held'>): string {
  const what = CHANGED[type] ?? type;
  if (held === null) return what;
  const wish = `for held mail to be ${HELD_BECOMES[held]}`;
  return type === 'HeldMailDecided' ? `Asked ${wish}` : `${what}, and asked ${wish}`;
}

/** How many blocks are in a state, now or at a past instant. */
export const useBlockCount = (state: 'proposed' | 'active', at: string | undefined) =>
  useQuery({
    queryKey: ['overview', 'count', state, at],
    queryFn: () =>
      answered(api.GET('/api/v1/blocks', { params: { query: { state, at, total: 'true', limit: '1' } } })),
    refetchInterval: 60_000,
  });
