import { useQuery as useServerQuery } from '@tanstack/react-query';
import type { Schemas } from '../api.js';
import { answered, api } from '../api.js';
import { OnlyNow } from '../parts/choices.js';
import { bytesOf } from '../parts/counted.js';
import { Loaded } from '../parts/states.js';
import { Table } from '../parts/table.js';
import { useAt } from '../route.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';
import { Forget } from './storage-forget.js';

type Storage = Schemas['Storage'];

const NAMES: Readonly<Record<string, string>> = {
  sends: 'Sends, refusals and bounces',
  held: 'Held mail',
  auth: 'Failed logins',
  notices: 'Notices',
  days: 'Day summaries of senders',
  blocks: 'Blocks, proposals and exemptions',
  overrides: 'Limits of senders',
  rules: 'Rules',
  sessions: 'People and their sessions',
  forgotten: 'That somebody was forgotten',
};

/** What is kept, for how long, and what it takes; and how a person is taken out of it. */
export function StorageScreen() {
  const at = useAt();
  const { administers, seesServer } = useRights();
  const storage = useServerQuery({
    queryKey: ['storage'],
    queryFn: () => answered(api.GET('/api/v1/storage')),
    enabled: seesServer,
    refetchInterval: 60_000,
  });
  return (
    <>
      <h1>Storage</h1>
      {at !== undefined && <OnlyNow what="Numbers" path="/storage" />}
      {seesServer ? (
        <Loaded query={storage}>
          {(data) => (
            <>
              <Disk storage={data} />
              <Kept storage={data} />
            </>
          )}
        </Loaded>
      ) : (
        <p className="quiet">What is stored is of the whole server: ask those who run it.</p>
      )}
      {administers && at === undefined && <Forget />}
    </>
  );
}

function Disk({ storage: { bytes, reclaimable, free, givesBack } }: { storage: Storage }) {
  if (bytes === null || reclaimable === null || free === null)
    return (
      <p className="panel">
        KurrentDB knows what it takes on its disks. A scavenge gives back the space of what was deleted.
      </p>
    );
  return (
    <dl className="facts panel">
      <div>
        <dt>The store takes</dt>
        <dd>{bytesOf(bytes)}</dd>
      </div>
      <div>
        <dt>Of it free</dt>
        <dd>
          {bytesOf(reclaimable)}, used again first.{' '}
          {givesBack ? (
            'More than a tenth is given back to the disk each hour.'
          ) : (
            <>
              It stays in the file: stop Stopgap once and run <code>stopgap storage compact</code>.
            </>
          )}
        </dd>
      </div>
      <div>
        <dt>The disk has left</dt>
        <dd>{bytesOf(free)}</dd>
      </div>
    </dl>
  );
}

function Kept({ storage: { categories } }: { storage: Storage }) {
  return (
    <section aria-labelledby="kept">
      <div className="head">
        <h2 id="kept">What is kept</h2>
      </div>
      <Table
        label="What is kept"
        items={categories}
        keyOf={({ name }) => name}
        columns={[
          { title: 'What', cell: ({ name }) => NAMES[name] ?? name },
          { title: 'Kept', cell: ({ retention }) => (retention === null ? 'for ever' : spanOf(retention)) },
          { title: 'Oldest', cell: ({ oldestAt }) => <Time at={oldestAt} /> },
          {
            title: 'Events',
            isNumber: true,
            cell: ({ events, isEstimate }) =>
              events === null ? '–' : `${isEstimate ? 'about ' : ''}${events.toLocaleString()}`,
          },
        ]}
      />
      <p className="quiet">
        What is older is deleted each hour. <code>retention.sends</code> in the configuration says how long
        sends, failed logins and notices are kept.
      </p>
    </section>
  );
}

const UNITS = { w: 'week', d: 'day', h: 'hour', m: 'minute', s: 'second' } as const;

/** `5w` as a person reads it. */
function spanOf(span: string): string {
  return [...span.matchAll(/(\d{1,9})([wdhms])/g)]
    .map(([, count, unit]) => `${count} ${UNITS[unit as keyof typeof UNITS]}${count === '1' ? '' : 's'}`)
    .join(' ');
}
