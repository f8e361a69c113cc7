import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { AnswerOf, Block, Subject } from '../api.js';
import { answered, api } from '../api.js';
import { End, Origin, StateTag, SUBJECT_OPTIONS, whyOf } from '../parts/blocks.js';
import { VolumeChart } from '../parts/chart.js';
import { ApproveDialog, DismissDialog, ImposeDialog, ReleaseDialog } from '../parts/decisions.js';
import { ExemptDialog } from '../parts/exempt.js';
import { Choice } from '../parts/forms.js';
import { checkOf, isAskable, isRefusedBy } from '../parts/other-block.js';
import { Empty, Loaded } from '../parts/states.js';
import { blockPath, searchOf, useAt, useHref, useQuery as useUrlQuery } from '../route.js';
import { InOwnZone, Time, useNow } from '../time.js';
import { useRights } from '../who.js';
import { CheckPanel } from './sender-check.js';
import { LatestSends, Usual } from './sender-usual.js';
import type { Window } from './sender-windows.js';
import { countsOf, shareOf, Windows } from './sender-windows.js';

type Check = AnswerOf<'/api/v1/check'>;
type Sender = AnswerOf<'/api/v1/senders/{type}/{value}'>;

/** All that is known of one sender, and what can be done about it. */
export function SenderScreen({ type, value }: { type: string; value: string }) {
  const at = useAt();
  const subject = { type: type as Subject['type'], value };
  const sender = useQuery({
    queryKey: ['sender', type, value],
    queryFn: () => answered(api.GET('/api/v1/senders/{type}/{value}', { params: { path: { type, value } } })),
    refetchInterval: at === undefined ? 15_000 : false,
  });
  const known = sender.data?.subject ?? subject;
  return (
    <>
      <div className="head">
        <h1>
          {known.value}{' '}
          <span className="tag">{SUBJECT_OPTIONS.find(([name]) => name === type)?.[1] ?? type}</span>
        </h1>
        {sender.data !== undefined && at === undefined && <Actions sender={sender.data} />}
      </div>
      <Loaded query={sender}>
        {(data) => (at === undefined ? <Present sender={data} /> : <Past sender={data} at={at} />)}
      </Loaded>
    </>
  );
}

/** Nobody has seen it: nothing was counted, decided or learnt. Of what is no account nobody knows what it sent. */
const isUnknown = ({ windows, usual, standing, blocks, sends }: Sender): boolean =>
  sends.note === null &&
  usual === null &&
  blocks.length === 0 &&
  sends.items.length === 0 &&
  standing.exemption === null &&
  windows.every(({ observed }) => observed === 0);

function Present({ sender }: { sender: Sender }) {
  const { subject, windows, usual, blocks, sends } = sender;
  const isProfiled = subject.type === 'account' || subject.type === 'domain';
  return (
    <>
      <Standing sender={sender} />
      {isUnknown(sender) && (
        <Empty title={`Nothing is known of ${subject.value}`}>
          <p>It has sent nothing that is remembered, and nobody has decided on it. Is the name right?</p>
        </Empty>
      )}
      {subject.type === 'account' && (
        <Chart subject={subject} windows={windows} usual={usual} blocks={blocks} />
      )}
      <Windows subject={subject} windows={windows} />
      <div className="columns">
        <CheckPanel subject={subject} />
        <div>
          {isProfiled && <Usual usual={usual} sends={sends.items} />}
          <History blocks={blocks} />
        </div>
      </div>
      <LatestSends note={sends.note} items={sends.items} />
      <ForgetLink subject={subject} />
    </>
  );
}

/** Seldom asked for, and never by mistake: it only leads there. */
function ForgetLink({ subject: { type, value } }: { subject: Subject }) {
  const { administers } = useRights();
  if (!administers || (type !== 'account' && type !== 'address')) return null;
  return (
    <p className="quiet">
      <a href={`#/storage${searchOf({ forget: value, type })}`}>Forget this person…</a>
    </p>
  );
}

/** Whether it is blocked, waits for a decision, or is exempt: the first that one wants to know. */
function Standing({ sender: { subject, standing } }: { sender: Sender }) {
  const href = useHref();
  const { block, proposal, exemption } = standing;
  const other = useOtherBlock(subject, block !== null);
  if (block === null && proposal === null && exemption === null && other === undefined)
    return (
      <p className="calm">
        <span className="dot dot-good" aria-hidden="true" /> <strong>Not blocked.</strong>{' '}
        <span className="quiet">No proposal waits, and no exemption holds.</span>
      </p>
    );
  return (
    <div>
      {other !== undefined && <OtherBlock check={other} />}
      {block !== null && (
        <div className="panel panel-bad">
          <p>
            <strong>Blocked</strong> since <Time at={block.since} /> by <Origin block={block} />, left:{' '}
            <End block={block} />.{' '}
            <a href={`#${href(blockPath(block.id))}`}>{whyOf(block) || 'Open the block'}</a>
          </p>
        </div>
      )}
      {proposal !== null && (
        <div className="panel panel-warn">
          <p>
            <strong>A proposal to block it waits</strong> since <Time at={proposal.proposedAt} />,{' '}
            <End block={proposal} />. <a href={`#${href(`/proposals/${proposal.id}`)}`}>{whyOf(proposal)}</a>
          </p>
        </div>
      )}
      {exemption !== null && (
        <div className="panel">
          <p>
            <strong>Exempt.</strong> No rule acts on it: {exemption.reason}{' '}
            <a href={`#${href('/exemptions')}`}>All exemptions</a>
          </p>
        </div>
      )}
    </div>
  );
}

/**
 * What refuses it where it is not blocked itself: a block on its domain, on where it came from last, or a wider one.
 *
 * @returns `asked`, or the error, while that is not known
 */
function useOtherBlock(
  subject: Subject,
  isBlocked: boolean,
  at?: string,
): Check | Error | 'asked' | undefined {
  const { type, value } = subject;
  const query = { ...checkOf(subject), ...(at === undefined ? {} : { at }) };
  const isAsked = !isBlocked && isAskable(subject);
  const { data, error } = useQuery({
    queryKey: ['sender', type, value, 'check', at],
    queryFn: () => answered(api.GET('/api/v1/check', { params: { query } })),
    enabled: isAsked,
    refetchInterval: at === undefined ? 15_000 : false,
  });
  if (!isAsked) return undefined;
  if (error !== null) return error;
  if (data === undefined) return 'asked';
  return data.refused && isRefusedBy(subject, data.block) ? data : undefined;
}

function OtherBlock({ check }: { check: Check | Error | 'asked' }) {
  const href = useHref();
  if (check === 'asked') return <p className="quiet loading">Loading…</p>;
  if (check instanceof Error)
    return (
      <div className="panel panel-warn" role="status">
        <p>
          <strong>Not blocked itself.</strong> Whether something else refuses it is not known now:{' '}
          <InOwnZone text={check.message} />
        </p>
      </div>
    );
  const { sentence, block } = check;
  return (
    <div className="panel panel-bad">
      <p>
        <strong>Not blocked itself.</strong> <InOwnZone text={sentence} />{' '}
        {block !== null && <a href={`#${href(blockPath(block.id))}`}>Open the block that refuses it</a>}
      </p>
    </div>
  );
}

type Asked = 'block' | 'release' | 'approve' | 'dismiss' | 'exempt';

function Actions({ sender: { subject, standing } }: { sender: Sender }) {
  const { decides, operates } = useRights();
  const { block, proposal, exemption } = standing;
  const about = block?.id ?? proposal?.id;
  const [dialog, setDialog] = useState<{ asked: Asked; about: string | undefined }>();
  const ask = (what: Asked): void => setDialog({ asked: what, about });
  const close = (): void => setDialog(undefined);
  const asked = dialog?.asked;
  // Nobody has asked to release, or to decide on, one that came after.
  const isOfThis = dialog?.about === about;
  const button = (what: Asked, text: string, className = '') => (
    <button type="button" className={className} onClick={() => ask(what)}>
      {text}
    </button>
  );
  return (
    <div className="line">
      {decides && block !== null && button('release', 'Release', 'primary')}
      {decides && proposal !== null && button('approve', 'Approve', 'primary')}
      {decides && proposal !== null && button('dismiss', 'Dismiss')}
      {operates && block === null && proposal === null && button('block', 'Block', 'danger')}
      {operates && exemption === null && button('exempt', 'Exempt')}
      {asked === 'block' && <ImposeDialog subject={subject} close={close} />}
      {asked === 'release' && isOfThis && block !== null && <ReleaseDialog block={block} close={close} />}
      {asked === 'approve' && isOfThis && proposal !== null && (
        <ApproveDialog block={proposal} close={close} />
      )}
      {asked === 'dismiss' && isOfThis && proposal !== null && (
        <DismissDialog block={proposal} close={close} />
      )}
      {asked === 'exempt' && <ExemptDialog subject={subject} close={close} />}
    </div>
  );
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** What is shown, and how long a bar is. */
const SPANS = [
  ['6h', '6 hours', 6 * HOUR, 5 * MINUTE],
  ['24h', '24 hours', 24 * HOUR, 10 * MINUTE],
  ['7d', '7 days', 168 * HOUR, HOUR],
] as const;

function Chart({
  subject,
  windows,
  usual,
  blocks,
  at,
}: {
  subject: Subject;
  windows: readonly Window[];
  usual: Sender['usual'];
  blocks: readonly Block[];
  at?: string;
}) {
  const [query, change] = useUrlQuery();
  const now = useNow(60);
  const [span, , length, step] = SPANS.find(([name]) => name === query['span']) ?? SPANS[1];
  // A bar is whole: the last one ends after now.
  const to = at === undefined ? (Math.floor(now / step) + 1) * step : Math.ceil(Date.parse(at) / step) * step;
  const from = to - length;
  const compared = windows.filter(
    ({ count, leaveOut, direction }) =>
      (count === 'recipients' || count === 'messages') && leaveOut === undefined && direction !== 'inbound',
  );
  const chosen =
    compared.find(({ rule }) => rule === query['rule']) ??
    blockingOf(compared, blocks) ??
    closestOf(compared, step, length);
  const typical = usual?.windows.find(({ window }) => window === `${chosen?.count}/${chosen?.window}`);
  return (
    <section className="panel">
      <div className="head">
        <h2>What it sent</h2>
        <div className="filters">
          <Choice
            label="Time"
            name="span"
            value={span}
            onChange={(event) => change({ span: event.target.value })}
            options={SPANS.map(([name, text]) => [name, text])}
          />
          {compared.length > 0 && (
            <Choice
              label="Against the rule"
              name="rule"
              value={chosen?.rule}
              onChange={(event) => change({ rule: event.target.value })}
              options={compared.map((window) => [window.rule, `${window.rule}: ${countsOf(window)}`])}
            />
          )}
        </div>
      </div>
      <VolumeChart
        type={subject.type}
        value={subject.value}
        from={from}
        to={to}
        step={step}
        count={chosen?.count === 'messages' ? 'messages' : 'recipients'}
        window={chosen === undefined ? undefined : lengthOf(chosen.window)}
        limit={
          at === undefined && chosen !== undefined && isComparable(chosen, step) ? chosen.limit : undefined
        }
        band={
          typical !== undefined && chosen !== undefined && isComparable(chosen, step)
            ? { from: 0, to: typical.record }
            : undefined
        }
        marks={marksOf(blocks, from, to)}
      />
    </section>
  );
}

/** A bar that is longer than the window says nothing about its limit. */
const isComparable = ({ window }: Window, step: number): boolean => lengthOf(window) >= step;

/** The rule that blocks it now, or proposes to. */
const blockingOf = (windows: readonly Window[], blocks: readonly Block[]): Window | undefined =>
  windows.find(({ rule }) =>
    blocks.some((block) => block.rule === rule && (block.state === 'active' || block.state === 'proposed')),
  );

/** The rule whose limit is closest, of those that the chart can show. */
function closestOf(windows: readonly Window[], step: number, length: number): Window | undefined {
  const shown = windows.filter((window) => isComparable(window, step) && lengthOf(window.window) <= length);
  return shown.toSorted((a, b) => Number(b.applies) - Number(a.applies) || shareOf(b) - shareOf(a))[0];
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: MINUTE, h: HOUR, d: 24 * HOUR, w: 168 * HOUR };

/** A span as the API writes it, `1h30m`, in milliseconds. */
function lengthOf(span: string): number {
  const parts = span.match(/\d{1,7}[smhdw]/g) ?? [];
  return parts.reduce((sum, part) => sum + Number.parseInt(part) * UNITS[part.at(-1)!]!, 0);
}

/** A rule that blocks by itself proposes first, in the same moment. */
const isAtOnce = (proposedAt: string, since: string | null): boolean =>
  since !== null && Math.abs(Date.parse(since) - Date.parse(proposedAt)) < MINUTE;

const MARKS = 6;

function marksOf(blocks: readonly Block[], from: number, to: number) {
  return blocks
    .flatMap(({ proposedAt, since }) => [
      ...(proposedAt === null || isAtOnce(proposedAt, since)
        ? []
        : [{ at: Date.parse(proposedAt), text: 'proposed' }]),
      ...(since === null ? [] : [{ at: Date.parse(since), text: 'blocked' }]),
    ])
    .filter(({ at }) => at >= from && at <= to)
    .slice(0, MARKS);
}

function History({ blocks }: { blocks: readonly Block[] }) {
  const href = useHref();
  return (
    <section className="panel">
      <h2>Blocks so far</h2>
      {blocks.length === 0 ? (
        <p className="quiet">It was never blocked, and no rule has proposed it.</p>
      ) : (
        <ul className="plain">
          {blocks.map((block) => (
            <li key={block.id}>
              <StateTag block={block} />{' '}
              <a href={`#${href(blockPath(block.id))}`}>{whyOf(block) || 'No reason given'}</a>{' '}
              <span className="quiet">
                <Time at={block.since ?? block.proposedAt} />, by <Origin block={block} />,{' '}
                <End block={block} />
              </span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** Of the past what it sent, its blocks then and a check are known. */
function Past({ sender: { subject }, at }: { sender: Sender; at: string }) {
  const { type, value } = subject;
  const then = useQuery({
    queryKey: ['blocks', 'of', type, value, at],
    queryFn: () => answered(api.GET('/api/v1/blocks', { params: { query: { type, value, at } } })),
  });
  return (
    <>
      <p className="quiet">
        What it sent, its blocks and the check are shown as of then. Limits, what is usual and exemptions are
        only known of now.
      </p>
      {type === 'account' && (
        <Chart subject={subject} windows={[]} usual={null} blocks={then.data?.items ?? []} at={at} />
      )}
      <Loaded query={then}>{({ items }) => <PastBlocks subject={subject} at={at} blocks={items} />}</Loaded>
      <CheckPanel subject={subject} />
    </>
  );
}

function PastBlocks({ subject, at, blocks }: { subject: Subject; at: string; blocks: readonly Block[] }) {
  const isBlocked = blocks.some(({ state }) => state === 'active');
  const other = useOtherBlock(subject, isBlocked, at);
  if (blocks.length > 0 || other !== undefined)
    return (
      <>
        {other !== undefined && <OtherBlock check={other} />}
        {blocks.length > 0 && <History blocks={blocks} />}
      </>
    );
  return (
    <p className="calm">
      <strong>It was not blocked then,</strong> and no proposal waited.
    </p>
  );
}
