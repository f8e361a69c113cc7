import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { answered, api } from '../api.js';
import { actorName } from '../../kernel/actor.js';
import type { Block, Subject } from '../api.js';
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

/** Who asked for it: a rule, or a person. */
export function Origin({ block }: { block: Block }): ReactNode {
  if (block.rule !== null) return <span className="mono">{block.rule}</span>;
  return actorName(block.history[0]?.by ?? block.origin);
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

/** What each change was, before the name of its subject. */
export const CHANGED: Readonly<Record<string, string>> = {
  BlockImposed: 'Blocked',
  BlockExtended: 'Made the block longer',
  BlockShortened: 'Made the block shorter',
  BlockReleased: 'Released',
  HeldMailDecided: 'Decided on held mail',
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

/** How many blocks are in a state, now or at a past instant. */
export const useBlockCount = (state: 'proposed' | 'active', at: string | undefined) =>
  useQuery({
    queryKey: ['overview', 'count', state, at],
    queryFn: () =>
      answered(api.GET('/api/v1/blocks', { params: { query: { state, at, total: 'true', limit: '1' } } })),
    refetchInterval: 60_000,
  });
