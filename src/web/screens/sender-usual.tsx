import { useState } from 'react';
import type { Schemas } from '../api.js';
import type { TableColumn } from '../parts/table.js';
import { Table } from '../parts/table.js';
import { Time } from '../time.js';

export type Profile = Schemas['Profile'];
export interface Send {
  readonly position: number;
  readonly type: string;
  readonly at: string;
  readonly data: unknown;
}

interface SendData {
  readonly ip?: string;
  readonly ehlo?: string;
  readonly returnPath?: string;
  readonly recipients?: number;
  readonly count?: number;
  readonly size?: number;
  readonly stage?: string;
  readonly reply?: string;
}

const PLACES = [
  ['networks', 'Networks'],
  ['ehlos', 'EHLO names'],
  ['countries', 'Countries'],
  ['asns', 'Providers'],
] as const;

/** What this sender does on other days, and what of the latest is new. */
export function Usual({ usual, sends }: { usual: Profile | null; sends: readonly Send[] }) {
  return (
    <section className="panel">
      <h2>What is usual</h2>
      {usual === null ? (
        <p className="quiet">Nothing is learnt yet: that takes a day with mail.</p>
      ) : (
        <>
          <p className="quiet">
            {usual.known ? '' : 'Still being learnt. '}
            First seen {usual.firstDay}; of {usual.weeks} {usual.weeks === 1 ? 'week' : 'weeks'} with mail.
            {usual.containedDays.length > 0 &&
              ` Days with a block teach nothing: ${usual.containedDays.join(', ')}.`}
          </p>
          <Hours hours={usual.hours} weeks={usual.weeks} />
          <dl className="facts">
            {PLACES.map(([kind, title]) => (
              <Places key={kind} title={title} known={usual[kind]} fresh={freshOf(usual, kind, sends)} />
            ))}
          </dl>
        </>
      )}
    </section>
  );
}

/** Names of the latest sends that no day before had; none while the kind is still being learnt. */
function freshOf(
  usual: Profile,
  kind: (typeof PLACES)[number][0],
  sends: readonly Send[],
): readonly string[] {
  if (!usual.placesKnown.includes(kind) || (kind !== 'networks' && kind !== 'ehlos')) return [];
  const known = new Set(usual[kind].map(({ name }) => name));
  const seen = sends.flatMap(({ type, data }) => {
    const { ip, ehlo } = data as SendData;
    // The network of an IPv6 address has another name.
    const name = kind === 'ehlos' ? ehlo?.toLowerCase() : ip?.includes(':') === true ? undefined : ip;
    return type !== 'MessageAccepted' || name === undefined || name === '' ? [] : [name];
  });
  return [...new Set(seen)].filter((name) => !known.has(name));
}

function Places({
  title,
  known,
  fresh,
}: {
  title: string;
  known: readonly { name: string; lastDay: string }[];
  fresh: readonly string[];
}) {
  if (known.length === 0 && fresh.length === 0) return null;
  return (
    <div>
      <dt>{title}</dt>
      <dd className="line">
        {fresh.map((name) => (
          <span className="tag tag-warn" key={name}>
            new: {name}
          </span>
        ))}
        {known.toReversed().map(({ name, lastDay }) => (
          <span className="tag" key={name} title={`last on ${lastDay}`}>
            {name}
          </span>
        ))}
      </dd>
    </div>
  );
}

/** By hour of the viewer's day in how many weeks it sent then. */
function Hours({ hours, weeks }: { hours: readonly number[]; weeks: number }) {
  const shift = Math.round(-new Date().getTimezoneOffset() / 60);
  const own = Array.from({ length: 24 }, (_, hour) => hours[(hour - shift + 48) % 24] ?? 0);
  const typical = own.flatMap((count, hour) => (count > 0 && count * 2 >= weeks ? [`${hour} h`] : []));
  const text =
    typical.length === 0 ? 'No typical hours.' : `Typical hours, in your zone: ${typical.join(', ')}.`;
  return (
    <div className="hours">
      <svg role="img" aria-label={text} viewBox="0 0 240 30" preserveAspectRatio="none" className="minutes">
        <line x1="0" x2="240" y1="29.5" y2="29.5" />
        {own.map((count, hour) => {
          const height = weeks === 0 ? 0 : (count / weeks) * 29;
          // The hour is what it is.
          return <rect key={hour} x={hour * 10 + 1} width="8" y={30 - height} height={height} />;
        })}
      </svg>
      <p className="quiet minutes-ends" aria-hidden="true">
        <span>0 h</span>
        <span>6 h</span>
        <span>12 h</span>
        <span>18 h</span>
        <span>24 h</span>
      </p>
    </div>
  );
}

const FIRST = 10;

/** The latest that it sent, was refused, or failed at. */
export function LatestSends({ note, items }: { note: string | null; items: readonly Send[] }) {
  const [isAll, setAll] = useState(false);
  const shown = isAll ? items : items.slice(0, FIRST);
  return (
    <section className="panel">
      <h2>Latest mail</h2>
      {note !== null && <p className="quiet">What was sent is kept by account: there is no list of this.</p>}
      {note === null && items.length === 0 && <p className="quiet">No mail is remembered.</p>}
      {items.length > 0 && (
        <Table label="Latest mail" items={shown} keyOf={({ position }) => `${position}`} columns={LATEST} />
      )}
      {items.length > FIRST && !isAll && (
        <button type="button" className="bare" onClick={() => setAll(true)}>
          Show all {items.length}
        </button>
      )}
    </section>
  );
}

const WHAT: Readonly<Record<string, string>> = {
  MessageAccepted: 'taken',
  MessageRefused: 'refused',
  RecipientsRefused: 'recipients refused by the mail server',
  MessageHeld: 'held',
};

const LATEST: readonly TableColumn<Send>[] = [
  { title: 'When', cell: ({ at }) => <Time at={at} as="second" /> },
  {
    title: 'What',
    cell: (send) => {
      const { count, reply } = dataOf(send);
      const isHeld = reply === 'HOLD';
      const isRefusal = send.type === 'MessageRefused';
      return (
        <>
          <span className={isRefusal ? 'tag tag-bad' : 'tag'}>
            {isHeld ? 'to be held' : (WHAT[send.type] ?? send.type)}
          </span>
          {isRefusal && count !== undefined && count > 1 && ` ${count.toLocaleString()} times`}
          {reply !== undefined && !isHeld && <span className="quiet"> {reply}</span>}
        </>
      );
    },
  },
  {
    title: 'Recipients',
    isNumber: true,
    cell: (send) => {
      const { recipients, count } = dataOf(send);
      return recipients?.toLocaleString() ?? (send.type === 'RecipientsRefused' ? count : '–');
    },
  },
  {
    title: 'From',
    cell: (send) => {
      const { ip, ehlo } = dataOf(send);
      return (
        <>
          {ip ?? '–'} {ehlo !== undefined && ehlo !== '' && <span className="quiet">as {ehlo}</span>}
        </>
      );
    },
  },
  {
    title: 'Return path',
    cell: (send) => {
      const { returnPath } = dataOf(send);
      return returnPath === '' ? '<>' : (returnPath ?? '–');
    },
  },
];

const dataOf = ({ data }: Send): SendData => data as SendData;
