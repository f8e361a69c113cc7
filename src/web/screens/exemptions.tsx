import { useInfiniteQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { Subject, Schemas } from '../api.js';
import { answered, api } from '../api.js';
import { SubjectLink, SUBJECT_OPTIONS } from '../parts/blocks.js';
import { OnlyNow, Parts } from '../parts/choices.js';
import { AskOperators, ExemptDialog, useExemptions } from '../parts/exempt.js';
import { Choice } from '../parts/forms.js';
import { fault } from '../parts/notes.js';
import type { Column } from '../parts/rows.js';
import { Rows } from '../parts/rows.js';
import { Empty, Failure } from '../parts/states.js';
import { useAt, useQuery } from '../route.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';
import { OverridesPart } from './overrides.js';

type Exemption = Schemas['Exemption'];

const PAGE = 500;

/** Whom rules leave alone, and for whom they have other limits. */
export function ExemptionsScreen() {
  const [query] = useQuery();
  const at = useAt();
  const isLimits = query['part'] === 'limits';
  return (
    <>
      <h1>Exemptions</h1>
      <Parts
        label="Parts of this screen"
        current={isLimits ? '/exemptions?part=limits' : '/exemptions'}
        parts={[
          ['/exemptions', 'Never acted on'],
          ['/exemptions?part=limits', 'Limits of their own'],
        ]}
      />
      {at !== undefined && (
        <OnlyNow
          what={isLimits ? 'Limits' : 'Exemptions'}
          path={isLimits ? '/exemptions?part=limits' : '/exemptions'}
        />
      )}
      {isLimits ? <OverridesPart /> : <ExemptionsPart />}
    </>
  );
}

function ExemptionsPart() {
  const { operates, seesServer } = useRights();
  const at = useAt();
  const [query, change] = useQuery();
  const [isAdding, setAdding] = useState(false);
  const { remove } = useExemptions();
  const type = (query['type'] || undefined) as Subject['type'] | undefined;
  const list = useInfiniteQuery({
    queryKey: ['exemptions', type],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam: cursor, signal }) =>
      answered(
        api.GET('/api/v1/exemptions', { params: { query: { type, limit: String(PAGE), cursor } }, signal }),
      ),
    getNextPageParam: ({ next }) => next ?? undefined,
  });
  const items = useMemo(() => list.data?.pages.flatMap((page) => page.items) ?? [], [list.data]);
  const canChange = operates && at === undefined;

  const columns: readonly Column<Exemption>[] = [
    {
      key: 'subject',
      title: 'Sender',
      width: 'minmax(12rem, 2fr)',
      cell: ({ subject }) => <SubjectLink subject={subject} />,
    },
    { key: 'reason', title: 'Why', width: 'minmax(12rem, 3fr)', cell: ({ reason }) => reason },
    {
      key: 'until',
      title: 'Left',
      width: '8rem',
      cell: ({ until }) => (until === null ? 'for ever' : <Time at={until} as="left" />),
    },
    {
      key: 'by',
      title: 'Who, when',
      width: '13.5rem',
      cell: ({ origin, by, at: when }) =>
        origin === 'rules' ? (
          'the rules'
        ) : (
          <>
            {actorName(by ?? '')}, <Time at={when} />
          </>
        ),
    },
    {
      key: 'saved',
      title: 'Kept from a block',
      width: '9.5rem',
      isNumber: true,
      cell: ({ saved, savedAt }) =>
        saved === 0 ? (
          'never'
        ) : (
          <>
            {saved.toLocaleString()}×, <Time at={savedAt} as="ago" />
          </>
        ),
    },
    ...(canChange
      ? [
          {
            key: 'act',
            title: 'Actions',
            width: '6rem',
            cell: (item: Exemption) =>
              item.origin === 'admin' ? (
                <button type="button" onClick={() => void remove(item).catch(fault)}>
                  Remove
                </button>
              ) : (
                seesServer && <a href="#/rules">In the rules</a>
              ),
          },
        ]
      : []),
  ];

  return (
    <>
      <div className="filters">
        <Choice
          label="Type"
          name="type"
          value={query['type'] ?? ''}
          onChange={(event) => change({ type: event.target.value })}
          options={[['', 'Any'], ...SUBJECT_OPTIONS]}
        />
        {canChange && (
          <button type="button" className="primary" onClick={() => setAdding(true)}>
            Exempt a sender
          </button>
        )}
      </div>
      <p className="quiet">No rule proposes or imposes a block on these. People still can.</p>
      {list.isError && <Failure error={list.error} retry={() => void list.refetch()} />}
      {list.isPending && !list.isError && <p className="quiet loading">Loading…</p>}
      {list.isSuccess && items.length === 0 && (
        <Empty title={type === undefined ? 'Nobody is exempt' : 'Nobody of this type is exempt'}>
          {canChange && <p>Exempt who sends much and is known to you: a newsletter, a ticket system.</p>}
          {!operates && <AskOperators what="exempt a sender" />}
        </Empty>
      )}
      {items.length > 0 && (
        <Rows
          label="Exemptions"
          items={items}
          columns={columns}
          more={list.hasNextPage ? () => void (!list.isFetchingNextPage && list.fetchNextPage()) : undefined}
        />
      )}
      {isAdding && <ExemptDialog close={() => setAdding(false)} />}
    </>
  );
}
