import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { AnswerOf, Change } from '../api.js';
import { answered, api } from '../api.js';
import { changedText, Origin, SubjectLink, useBlockCount } from '../parts/blocks.js';
import { Minutes } from '../parts/minutes.js';
import { Share } from '../parts/share.js';
import { Empty, Loaded } from '../parts/states.js';
import type { TableColumn } from '../parts/table.js';
import { Table } from '../parts/table.js';
import { blockPath, useAt, useHref } from '../route.js';
import { Time } from '../time.js';
import { useRights, useWho } from '../who.js';
import { NoMail, NotStopped, StillHeld, Troubles, troublesOf } from './overview-trouble.js';

type Overview = AnswerOf<'/api/v1/overview'>;

/** What one looks at first: what waits, what is wrong, who sends most. */
export function OverviewScreen() {
  const at = useAt();
  const { seesServer } = useRights();
  const { domains, role } = useWho();
  return (
    <>
      <div className="head">
        <h1>Overview</h1>
        {role === 'domain' && <p className="quiet">Of {domains.join(', ')}</p>}
      </div>
      {at === undefined ? <Present seesServer={seesServer} /> : <Past at={at} />}
    </>
  );
}

function Present({ seesServer }: { seesServer: boolean }) {
  const overview = useQuery({
    queryKey: ['overview', 'now'],
    queryFn: () => answered(api.GET('/api/v1/overview')),
    refetchInterval: 10_000,
  });
  return (
    <>
      <Troubles troubles={overview.data === undefined ? [] : troublesOf(overview.data, seesServer)} />
      <Loaded query={overview}>
        {(data) => (
          <>
            {/* What cannot be asked for now may burn. */}
            {!overview.isError && isCalm(data, seesServer) && <Calm data={data} />}
            <NotStopped unstopped={data.unstopped} />
            <StillHeld held={data.held} />
            {seesServer && <NoMail lastMailAt={data.lastMailAt} />}
            <Figures data={data} />
            <div className="columns">
              <Busiest items={data.busiest} />
              <div>
                <NewestBlocks />
                <LastDecisions />
              </div>
            </div>
          </>
        )}
      </Loaded>
    </>
  );
}

const isCalm = (data: Overview, seesServer: boolean): boolean =>
  data.proposals.waiting === 0 &&
  data.breaker?.open !== true &&
  data.unstopped.senders === 0 &&
  data.held.blocks === 0 &&
  troublesOf(data, seesServer).length === 0;

function Calm({ data: { blocks, mode } }: { data: Overview }) {
  return (
    <p className="calm">
      <span className="dot dot-good" aria-hidden="true" /> <strong>Nothing is burning.</strong>{' '}
      <span className="quiet">
        No proposal waits
        {blocks.active === 0 ? ', and nobody is blocked' : ', and what is blocked is contained'}
        {mode === 'observe' && '; rules only observe now (mode: observe)'}.
      </span>
    </p>
  );
}

function Figure({ title, children, tone = '' }: { title: string; children: ReactNode; tone?: string }) {
  return (
    <section className={`panel ${tone}`}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

function Figures({ data }: { data: Overview }) {
  const href = useHref();
  const { decides } = useRights();
  const { waiting, oldestAt, lapsing } = data.proposals;
  const refused = data.refusals.reduce((sum, count) => sum + count, 0);
  const { breaker } = data;
  return (
    <div className="panels figures">
      <Figure title="Proposals waiting" tone={waiting > 0 ? 'panel-warn' : ''}>
        <a className="figure" href={`#${href('/proposals')}`}>
          {waiting.toLocaleString()} <span className="hidden">waiting proposals</span>
        </a>
        <p className="quiet">
          {waiting === 0 ? (
            'None waits for you.'
          ) : (
            <>
              The oldest came <Time at={oldestAt} as="ago" />.{' '}
              {lapsing > 0 && `${lapsing.toLocaleString()} of them will lapse within a day.`}
            </>
          )}
        </p>
      </Figure>
      <Figure title="Blocks in force">
        <a className="figure" href={`#${href('/blocks')}`}>
          {data.blocks.active.toLocaleString()} <span className="hidden">blocks in force</span>
        </a>
        {data.blocks.active === 0 ? (
          <p className="quiet">Nobody is blocked.</p>
        ) : (
          decides && <p className="quiet">Each can be released at once.</p>
        )}
      </Figure>
      <Figure title="Refused in the last hour">
        <p className="figure">{refused.toLocaleString()}</p>
        <Minutes counts={data.refusals} what="refusals" />
        <p className="quiet minutes-ends" aria-hidden="true">
          <span>an hour ago</span>
          <span>now</span>
        </p>
      </Figure>
      {breaker !== null && (
        <Figure title="Circuit breaker" tone={breaker.open ? 'panel-bad' : ''}>
          <p className="figure">{breaker.open ? 'Open' : 'Closed'}</p>
          <p className="quiet">{breaker.sentence}</p>
          {breaker.open && (
            <p className="quiet">
              Open since <Time at={breaker.since} />; it closes in <Time at={breaker.until} as="left" /> if
              nothing more is blocked.
            </p>
          )}
        </Figure>
      )}
    </div>
  );
}

const BUSIEST: readonly TableColumn<Overview['busiest'][number]>[] = [
  {
    title: 'Account',
    cell: ({ subject, blocked }) => (
      <>
        <SubjectLink subject={subject} /> {blocked && <span className="tag tag-bad">blocked</span>}
      </>
    ),
  },
  {
    title: 'Rule',
    cell: ({ rule, count, window }) => (
      <>
        <span className="mono">{rule}</span>{' '}
        <span className="quiet">
          {count} in {window}
        </span>
      </>
    ),
  },
  { title: 'Now', isNumber: true, cell: ({ observed }) => observed.toLocaleString() },
  { title: 'Usual', isNumber: true, cell: ({ usual }) => (usual === null ? '–' : usual.toLocaleString()) },
  { title: 'Limit', isNumber: true, cell: ({ limit }) => limit.toLocaleString() },
  { title: 'Of it', isNumber: true, cell: ({ share }) => <Share share={share} /> },
];

function Busiest({ items }: { items: Overview['busiest'] }) {
  return (
    <section className="panel">
      <h2>Busiest senders</h2>
      {items.length === 0 ? (
        <Empty title="Nobody has sent anything lately" />
      ) : (
        <>
          <p className="quiet">The closest to a limit first.</p>
          <Table
            label="Busiest senders"
            items={items}
            keyOf={({ subject }) => subject.value}
            columns={BUSIEST}
          />
        </>
      )}
    </section>
  );
}

/** What the rules and people have blocked last. */
function NewestBlocks() {
  const href = useHref();
  const blocks = useQuery({
    queryKey: ['blocks', 'newest'],
    queryFn: () =>
      answered(
        api.GET('/api/v1/blocks', { params: { query: { state: 'active', sort: 'since', limit: '5' } } }),
      ),
  });
  return (
    <section className="panel">
      <h2>Newest blocks</h2>
      <Loaded query={blocks}>
        {({ items }) =>
          items.length === 0 ? (
            <p className="quiet">Nobody is blocked.</p>
          ) : (
            <ul className="plain">
              {items.map((block) => (
                <li key={block.id}>
                  <SubjectLink subject={block.subject} />{' '}
                  <a className="quiet" href={`#${href(blockPath(block.id))}`}>
                    <Time at={block.since} as="ago" /> by <Origin block={block} />
                  </a>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </section>
  );
}

function LastDecisions() {
  const href = useHref();
  const changes = useQuery({
    queryKey: ['changes', 'last'],
    queryFn: () => answered(api.GET('/api/v1/changes', { params: { query: { limit: '5' } } })),
  });
  return (
    <section className="panel">
      <h2>Last decisions</h2>
      <Loaded query={changes}>
        {({ items }) =>
          items.length === 0 ? (
            <p className="quiet">Nobody has decided anything yet.</p>
          ) : (
            <>
              <ul className="plain">
                {items.map((change) => (
                  <li key={change.position}>
                    <Decision change={change} />
                  </li>
                ))}
              </ul>
              <a href={`#${href('/changes')}`}>All changes</a>
            </>
          )
        }
      </Loaded>
    </section>
  );
}

function Decision({ change }: { change: Change }) {
  const { at, by, subject, block, why } = change;
  const href = useHref();
  return (
    <>
      {actorName(by)} {changedText(change).toLowerCase()}{' '}
      {subject !== null && <SubjectLink subject={subject} />}{' '}
      <span className="quiet">
        {block === null ? (
          <Time at={at} as="ago" />
        ) : (
          <a href={`#${href(blockPath(block))}`}>
            <Time at={at} as="ago" />
          </a>
        )}
        {why !== null && why !== '' && `: ${why}`}
      </span>
    </>
  );
}

/** Of the past only blocks, proposals and changes are known. */
function Past({ at }: { at: string }) {
  const href = useHref();
  const proposed = useBlockCount('proposed', at);
  const active = useBlockCount('active', at);
  return (
    <>
      <div className="panels figures">
        <Figure title="Proposals waited">
          <Loaded query={proposed}>
            {({ total = 0 }) => (
              <a className="figure" href={`#${href('/proposals')}`}>
                {total.toLocaleString()} <span className="hidden">waiting proposals</span>
              </a>
            )}
          </Loaded>
        </Figure>
        <Figure title="Blocks were in force">
          <Loaded query={active}>
            {({ total = 0 }) => (
              <a className="figure" href={`#${href('/blocks')}`}>
                {total.toLocaleString()} <span className="hidden">blocks in force</span>
              </a>
            )}
          </Loaded>
        </Figure>
      </div>
      <p className="quiet">
        Refusals by the minute, the circuit breaker and the busiest senders are only known of now. What each
        sender sent then is on its own screen.
      </p>
    </>
  );
}
