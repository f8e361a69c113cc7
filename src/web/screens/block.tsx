import { useQuery } from '@tanstack/react-query';
import type { FormEvent, ReactNode } from 'react';
import { useState } from 'react';
import type { Block } from '../api.js';
import { answered, api, ApiError } from '../api.js';
import { End, Origin, StateTag, subjectName, SubjectLink, whyOf } from '../parts/blocks.js';
import { EditDialog, ReleaseDialog } from '../parts/decisions.js';
import { Failure } from '../parts/states.js';
import { navigate, proposalPath, senderPath, useAt, useHref } from '../route.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';
import { BlockReport } from './block-report.js';
import { History } from './block-history.js';
import { Refusals } from './block-refusals.js';
import { LetterDialog } from './letter.js';

/** One block: what it is, what it did, and what can be done about it. */
export function BlockScreen({ id }: { id: string }) {
  const at = useAt();
  const query = useQuery({
    queryKey: ['block', id],
    queryFn: () => answered(api.GET('/api/v1/blocks/{id}', { params: { path: { id } } })),
  });
  const block = query.data;
  if (block === undefined) {
    const { error } = query;
    if (error instanceof ApiError && error.status === 404) return <Unknown id={id} />;
    return (
      <>
        <h1>Block</h1>
        {error === null ? (
          <p className="quiet loading">Loading…</p>
        ) : (
          <Failure error={error} retry={() => void query.refetch()} />
        )}
      </>
    );
  }
  return (
    <>
      <Head block={block} />
      {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
      {at !== undefined && (
        <p className="quiet">
          A block and its report are shown as they are now. Its history below says what was when.
        </p>
      )}
      <p className="lead">{whyOf(block) || 'No reason was given.'}</p>
      <Facts block={block} />
      <BlockReport block={block} />
      <History block={block} />
      <Refusals block={block} />
    </>
  );
}

function Head({ block }: { block: Block }) {
  const at = useAt();
  const href = useHref();
  const { decides, operates } = useRights();
  const [dialog, setDialog] = useState<'release' | 'edit' | 'letter'>();
  const close = (): void => setDialog(undefined);
  const canDecide = decides && at === undefined;
  return (
    <div className="head">
      <h1 className="line">
        {subjectName(block.subject)} <StateTag block={block} />
      </h1>
      <div className="line">
        {canDecide && block.state === 'active' && (
          <button type="button" className="primary" onClick={() => setDialog('release')}>
            Release
          </button>
        )}
        {canDecide && operates && block.state === 'active' && (
          <button type="button" onClick={() => setDialog('edit')}>
            Change its end
          </button>
        )}
        {canDecide && block.state === 'proposed' && (
          <a className="button" href={`#${href(proposalPath(block.id))}`}>
            Decide on it
          </a>
        )}
        <button type="button" onClick={() => setDialog('letter')}>
          Letter to the customer
        </button>
        <a className="button" href={`#${href(senderPath(block.subject))}`}>
          The sender
        </a>
      </div>
      {dialog === 'release' && <ReleaseDialog block={block} close={close} />}
      {dialog === 'edit' && <EditDialog block={block} close={close} />}
      {dialog === 'letter' && <LetterDialog block={block} close={close} />}
    </div>
  );
}

const DIRECTIONS = {
  outbound: 'Mail that it sends through this server',
  inbound: 'Mail that arrives from it',
  all: 'Mail in both directions',
} as const;

const REFUSALS = {
  soft: 'That the password is wrong, or to try later (soft)',
  defer: 'To try again later (defer)',
  honest: 'That it is blocked, and whom to ask (honest)',
  hold: 'Nothing where its mail can be held; else that the password is wrong, or to try later (hold)',
} as const;

function Facts({ block }: { block: Block }) {
  const { state, since, until, proposedAt, refusal, direction, evidence } = block;
  const facts: readonly (readonly [string, ReactNode])[] = [
    ['Subject', <SubjectLink subject={block.subject} />],
    ['What is blocked', DIRECTIONS[direction]],
    ['What clients are told', REFUSALS[refusal]],
    ['Asked for by', <Origin block={block} />],
    ...(proposedAt === null ? [] : [['Proposed', <Time at={proposedAt} as="second" />] as const]),
    ...(since === null ? [] : [['In force since', <Time at={since} as="second" />] as const]),
    [
      state === 'active' ? 'Time left' : state === 'proposed' ? 'Without a decision' : 'End',
      <>
        <End block={block} />
        {state === 'active' && until !== null && (
          <>
            {' '}
            (until <Time at={until} />)
          </>
        )}
      </>,
    ],
    // It is the sentence above where a rule asked for it.
    ...(evidence !== null && block.description !== '' ? [['Description', block.description] as const] : []),
    ...(evidence?.signals?.length ? [['Also noticed', evidence.signals.join('; ')] as const] : []),
    ...(evidence?.accounts?.length ? [['Accounts', evidence.accounts.join(', ')] as const] : []),
  ];
  return (
    <section className="panel" aria-label="What it is">
      <dl className="facts">
        {facts.map(([name, what]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

function Unknown({ id }: { id: string }) {
  const href = useHref();
  const search = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const q = new FormData(event.currentTarget).get('q');
    if (typeof q === 'string' && q.trim() !== '') navigate(href('/blocks', { q: q.trim(), state: 'all' }));
  };
  return (
    <>
      <h1>There is no such block</h1>
      <p>
        No block that you may see has the id <span className="mono">{id}</span>. It may be of another server,
        or older than what is kept.
      </p>
      <form className="line" onSubmit={search}>
        <label htmlFor="find-block">Search all blocks</label>
        <input id="find-block" name="q" type="search" autoFocus />
        <button type="submit">Search</button>
        <a href={`#${href('/blocks')}`}>Blocks in force</a>
      </form>
    </>
  );
}
