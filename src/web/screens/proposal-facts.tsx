import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useMemo } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { AnswerOf, Block } from '../api.js';
import { answered, api } from '../api.js';
import { StateTag } from '../parts/blocks.js';
import { VolumeChart } from '../parts/chart.js';
import { bytesOf, countName, lengthOf, plural, timesUsual } from '../parts/counted.js';
import { Loaded } from '../parts/states.js';
import type { TableColumn } from '../parts/table.js';
import { Table } from '../parts/table.js';
import { blockPath, useAt, useHref } from '../route.js';
import { Time, useNow } from '../time.js';

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;
/** Of the chart. */
const STEP = 10 * MINUTE;

/** What an administrator wants to know before deciding. */
export function ProposalFacts({ block }: { block: Block }) {
  const at = useAt();
  const { type, value } = block.subject;
  const sender = useQuery({
    queryKey: ['sender', type, value],
    queryFn: () => answered(api.GET('/api/v1/senders/{type}/{value}', { params: { path: { type, value } } })),
  });
  return (
    <>
      <Chart block={block} />
      <Numbers block={block} />
      {at !== undefined && (
        <p className="quiet">
          What follows is known now, not then: only the proposal itself is shown as it was.
        </p>
      )}
      <Loaded query={sender}>
        {(data) => (
          <>
            <Places block={block} sender={data} />
            <Earlier block={block} sender={data} />
            <Sends block={block} sender={data} />
          </>
        )}
      </Loaded>
    </>
  );
}

function Chart({ block }: { block: Block }) {
  const at = useAt();
  // Not each minute another series to read. The last one ends after now: the flood may be a moment old.
  const now = useNow(300);
  const to = at === undefined ? now + 5 * MINUTE : Date.parse(at);
  const { evidence, subject } = block;
  const marks = useMemo(
    () => (evidence === null ? [] : [{ at: Date.parse(evidence.lastAt), text: 'tripped' }]),
    [evidence],
  );
  const count = evidence?.count;
  const isDrawn = count === 'recipients' || count === 'messages';
  // Of no week at all nothing is usual.
  const { typical, record } = evidence?.habit?.weeks === 0 ? {} : (evidence?.habit ?? {});
  return (
    <VolumeChart
      type={subject.type}
      value={subject.value}
      from={to - DAY}
      to={to}
      step={STEP}
      count={isDrawn ? count : 'recipients'}
      window={isDrawn ? lengthOf(evidence!.window) : undefined}
      limit={isDrawn ? evidence!.limit : undefined}
      band={isDrawn && typical !== undefined ? { from: typical, to: record ?? typical } : undefined}
      marks={marks}
    />
  );
}

const BOUNDS = {
  floor: 'the least that any sender may',
  start: 'the start, since little is known of this sender',
  ceiling: 'the most that any sender may',
} as const;

function Numbers({ block }: { block: Block }) {
  const { evidence, rule, duration } = block;
  if (evidence === null) return null;
  const { observed, limit, count, window, habit, signals, accounts, leaveOut } = evidence;
  const facts: readonly (readonly [string, ReactNode])[] = [
    [
      'Counted',
      <>
        {observed.toLocaleString()} {countName(count)} within {window}
        {leaveOut !== undefined && `, without the ${plural(leaveOut, 'largest message')}`}
      </>,
    ],
    ['Allowed', `${limit.toLocaleString()}${habit?.bound === undefined ? '' : `: ${BOUNDS[habit.bound]}`}`],
    [
      'Usual',
      habit === undefined
        ? 'This rule does not look at it'
        : habit.weeks === 0
          ? 'Nothing is known of this sender yet'
          : `${habit.typical.toLocaleString()} in a typical week, ${habit.record.toLocaleString()} at most, of ${plural(habit.weeks, 'week')}${timesUsual(evidence) === undefined ? '' : ` (now ${timesUsual(evidence)})`}`,
    ],
    ...(signals?.length ? [['Also noticed', signals.join('; ')] as const] : []),
    ...(accounts?.length ? [['Accounts', accounts.join(', ')] as const] : []),
    ['Rule', <span className="mono">{rule}</span>],
    ['Approved, it lasts', duration === 'indefinite' ? 'until released' : duration],
    ['Last send', <Time at={evidence.lastAt} as="second" />],
  ];
  return (
    <>
      <h3>Why</h3>
      <dl className="facts">
        {facts.map(([name, what]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

type Sender = AnswerOf<'/api/v1/senders/{type}/{value}'>;

/** What is kept of a send, as far as is shown. */
interface Send {
  readonly ip?: string;
  readonly ehlo?: string;
  readonly returnPath?: string;
  readonly recipients?: number;
  readonly size?: number;
  readonly count?: number;
}

/** The same as rules see it: another address of a known /24 or /48 is not new. */
function neighbourhood(ip: string): string {
  return ip.includes(':') ? ip.split(':').slice(0, 3).join(':') : ip.slice(0, ip.lastIndexOf('.'));
}

function Places({ block, sender }: { block: Block; sender: Sender }) {
  const { usual, sends } = sender;
  const places = useMemo(() => {
    const networks = new Map<string, number>();
    const names = new Map<string, number>();
    for (const { type, data } of sends.items) {
      // A refusal says nothing of how many there were to be.
      if (type !== 'MessageAccepted') continue;
      const { ip, ehlo, recipients = 1 } = data as Send;
      if (ip !== undefined) networks.set(ip, (networks.get(ip) ?? 0) + recipients);
      if (ehlo !== undefined) names.set(ehlo, (names.get(ehlo) ?? 0) + recipients);
    }
    const known = new Set((usual?.networks ?? []).map(({ name }) => neighbourhood(name)));
    const knownNames = new Set((usual?.ehlos ?? []).map(({ name }) => name));
    const list = (kind: 'networks' | 'ehlos', found: Map<string, number>, is: (name: string) => boolean) =>
      [...found]
        .sort((a, b) => b[1] - a[1])
        .slice(0, 8)
        .map(([name, recipients]) => ({
          name,
          recipients,
          is: is(name) ? 'known' : usual?.placesKnown.includes(kind) === true ? 'new' : 'too little is known',
        }));
    return [
      ['Networks', list('networks', networks, (name) => known.has(neighbourhood(name))), networks.size],
      ['EHLO names', list('ehlos', names, (name) => knownNames.has(name)), names.size],
    ] as const;
  }, [usual, sends]);
  if (block.subject.type !== 'account') return null;
  return (
    <>
      <h3>From where</h3>
      <div className="panels">
        {places.map(([title, list, size]) => (
          <div key={title}>
            <h4>{title}</h4>
            {list.length === 0 && <p className="quiet">None was recorded.</p>}
            <ul className="plain">
              {list.map(({ name, recipients, is }) => (
                <li key={name}>
                  <span className="mono">{name}</span>{' '}
                  <span className={is === 'new' ? 'tag tag-warn' : 'tag'}>{is}</span>{' '}
                  <span className="quiet">{plural(recipients, 'recipient')}</span>
                </li>
              ))}
              {size > list.length && <li className="quiet">and {size - list.length} more</li>}
            </ul>
          </div>
        ))}
      </div>
    </>
  );
}

function Earlier({ block, sender }: { block: Block; sender: Sender }) {
  const href = useHref();
  const { follows } = block;
  const others = sender.blocks.filter(({ id }) => id !== block.id).slice(0, 8);
  const decisions: readonly TableColumn<Sender['blocks'][number]>[] = [
    {
      title: 'When',
      cell: ({ id, proposedAt, since }) => (
        <a href={`#${href(blockPath(id))}`}>
          <Time at={proposedAt ?? since} />
        </a>
      ),
    },
    { title: 'Outcome', cell: (one) => <StateTag block={one} /> },
    { title: 'By', cell: ({ history }) => actorName(history.at(-1)?.by ?? '') },
    { title: 'Rule', cell: ({ rule }) => <span className="mono">{rule ?? '–'}</span> },
  ];
  return (
    <>
      <h3>Earlier decisions</h3>
      {follows !== null && (
        <p>
          <strong>
            {actorName(follows.by)} {follows.state} it <Time at={follows.at} as="ago" />
            {follows.falsePositive && ' as a false positive'}
          </strong>
          , less than an hour before this. {follows.note !== undefined && <>Their note: “{follows.note}” </>}
          <a href={`#${href(blockPath(follows.block))}`}>Open it</a>
        </p>
      )}
      {others.length === 0 && follows === null && (
        <p className="quiet">None: it has not been blocked or proposed before.</p>
      )}
      {others.length > 0 && (
        <Table label="Earlier decisions" items={others} keyOf={({ id }) => id} columns={decisions} />
      )}
    </>
  );
}

const SENDS: Readonly<Record<string, string>> = {
  MessageAccepted: 'sent',
  MessageRefused: 'refused',
  MessageHeld: 'held',
  RecipientsRefused: 'recipients do not exist',
  AuthenticationFailed: 'login failed',
  BounceReceived: 'came back',
};
const SHOWN = 15;

/** The latest first; those since the rule tripped are marked. */
function Sends({ block, sender: { sends } }: { block: Block; sender: Sender }) {
  if (!sends.available) return null;
  const tripped = block.evidence?.lastPosition ?? Infinity;
  const since = sends.items.filter(({ position }) => position > tripped).length;
  const many = since === sends.items.length && since >= 50;
  const columns: readonly TableColumn<Sender['sends']['items'][number]>[] = [
    { title: 'When', cell: ({ at }) => <Time at={at} as="second" /> },
    {
      title: 'What',
      cell: ({ type, position }) => (
        <>
          {SENDS[type] ?? type} {position > tripped && <span className="tag tag-warn">since</span>}
        </>
      ),
    },
    {
      title: 'Recipients',
      cell: ({ data }) => {
        const { recipients, count } = data as Send;
        return recipients ?? count ?? '–';
      },
    },
    {
      title: 'From',
      cell: ({ data }) => {
        const { ip, ehlo } = data as Send;
        return <span className="mono">{[ip, ehlo].filter(Boolean).join(' ') || '–'}</span>;
      },
    },
    {
      title: 'Return path',
      cell: ({ data }) => {
        const { returnPath } = data as Send;
        return returnPath === '' ? 'none (a bounce)' : (returnPath ?? '–');
      },
    },
    {
      title: 'Size',
      cell: ({ data }) => {
        const { size } = data as Send;
        return size === undefined ? '–' : bytesOf(size);
      },
    },
  ];
  return (
    <>
      <h3>Latest sends</h3>
      <p className="quiet">
        {block.evidence !== null &&
          (since === 0
            ? 'Nothing was sent since the rule tripped.'
            : `${many ? 'More than ' : ''}${plural(since, 'event')} since the rule tripped.`)}{' '}
        {sends.note}
      </p>
      {sends.items.length > 0 && (
        <Table
          label="Latest sends"
          items={sends.items.slice(0, SHOWN)}
          keyOf={({ position }) => `${position}`}
          columns={columns}
        />
      )}
    </>
  );
}
