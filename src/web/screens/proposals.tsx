import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { Block, ListedBlock } from '../api.js';
import { useKey } from '../keys.js';
import type { LiveEvent } from '../live.js';
import { useLiveEvents } from '../live.js';
import { useMedia } from '../media.js';
import type { BulkAction } from '../parts/bulk.js';
import { BulkDialog } from '../parts/bulk.js';
import { ExemptDialog } from '../parts/exempt.js';
import { Choice } from '../parts/forms.js';
import { dismissLater, takeBack, usePending } from '../parts/pending.js';
import type { Items } from '../parts/rows.js';
import { Rows } from '../parts/rows.js';
import { Empty, Failure } from '../parts/states.js';
import { navigate, proposalPath, useAt, useHref, useQuery } from '../route.js';
import { useRights } from '../who.js';
import type { BlockFilter } from './block-pages.js';
import { useBlockPages } from './block-pages.js';
import { ProposalDetail } from './proposal.js';
import type { Decided } from './proposal-row.js';
import { ProposalRow } from './proposal-row.js';

const DECISIONS: Readonly<Record<string, string>> = {
  ProposalApproved: 'approved',
  ProposalDismissed: 'dismissed',
  BlockImposed: 'blocked',
};
/** How long a proposal that somebody else has decided stays on the screen, in milliseconds. */
const SHOWN = 60_000;
const NONE: ReadonlySet<string> = new Set();
const SORTS = [
  ['newest', 'Newest first'],
  ['oldest', 'Oldest first'],
  ['subject', 'By name'],
] as const;

/** Proposals to decide on: the list, and beside it (where it is wide) the one that is chosen. */
export function ProposalsScreen({ id }: { id: string | undefined }) {
  const [query, change] = useQuery();
  const at = useAt();
  const href = useHref();
  const client = useQueryClient();
  const { decides, operates } = useRights();
  const isWide = useMedia('(min-width: 68rem)');
  const sort = query['sort'] ?? 'newest';
  const filter = useMemo<BlockFilter>(
    () => ({ state: 'proposed', sort: sort as 'newest' | 'oldest' | 'subject', at }),
    [sort, at],
  );
  const pages = useBlockPages(filter);
  const { others, list, mine } = useList(pages.rows);
  const pending = usePending();
  const canDecide = decides && at === undefined;

  const [selected, select] = useState(NONE);
  const [place, setPlace] = useState<{ id: string | undefined; at: string | undefined }>();
  const current = place !== undefined && place.at === at ? place.id : undefined;
  const setCurrent = useCallback((next: string | undefined) => setPlace({ id: next, at }), [at]);
  const [focus, setFocus] = useState<{ id: string }>();
  const [dialog, setDialog] = useState<{ is: BulkAction } | { is: 'exempt'; block: Block }>();
  const idsOf = (): readonly string[] => Array.from({ length: list.length }, (_, index) => list.idAt!(index));
  const firstId = list.length > 0 ? list.idAt!(0) : undefined;
  const waits = (one: string): boolean => !pending.has(one) && !others.has(one) && !mine.current.has(one);
  // The first stays shown once it is: a newer one must not take its place while somebody reads it, or writes a note.
  const firstWaiting = isWide && id === undefined && current === undefined ? idsOf().find(waits) : undefined;
  if (firstWaiting !== undefined) setCurrent(firstWaiting);
  const shown = id ?? (isWide ? (current ?? firstWaiting ?? firstId) : undefined);
  const shownNow = useRef(shown);
  shownNow.current = shown;
  const acting = shown ?? current;

  const show = useCallback(
    (next: string) => {
      setCurrent(next);
      if (isWide) navigate(href(proposalPath(next), { sort: query['sort'] }), { replace: true });
    },
    [isWide, href, query, setCurrent],
  );
  const open = (next: string): void => navigate(href(proposalPath(next), { sort: query['sort'] }));
  const back = (): void => {
    navigate(href('/proposals', { sort: query['sort'] }));
    if (acting !== undefined) setFocus({ id: acting });
  };

  /** The next one that waits is chosen, so that a person goes on without looking for it. */
  const goOn = (decided: string): void => {
    // Who looks at another one by the time that the server answers stays there.
    if (shownNow.current !== decided) return;
    const ids = idsOf();
    const index = ids.indexOf(decided);
    const next = ids.slice(index + 1).find(waits) ?? ids.slice(0, Math.max(index, 0)).findLast(waits);
    if (next === undefined) {
      setCurrent(undefined);
      if (id !== undefined) navigate(href('/proposals'), { replace: true });
      return;
    }
    if (isWide) show(next);
    else back();
    setFocus({ id: next });
  };
  const decided = (block: Block): void => {
    mine.current.add(block.id);
    goOn(block.id);
  };
  const dismiss = (block: Block, body: { note?: string; falsePositive?: boolean }): void => {
    mine.current.add(block.id);
    dismissLater(client, block, body);
    goOn(block.id);
  };

  // The keys of many; those of one are the detail's.
  const bulk = (is: BulkAction) => () => selected.size > 0 && canDecide && setDialog({ is });
  useKey('Escape', () => {
    if (selected.size > 0) select(NONE);
    else if (id !== undefined && !isWide) back();
  });
  // Without a row that has the focus the first keys begin at the top.
  useKey('j', () => firstId !== undefined && setFocus({ id: acting ?? firstId }));
  useKey('k', () => firstId !== undefined && setFocus({ id: acting ?? firstId }));

  const { first, failed, total } = pages;
  const waiting = total ?? 0;
  const detail = shown !== undefined && (
    <ProposalDetail
      key={shown}
      id={shown}
      listed={listedOf(list, shown)}
      decided={others.get(shown)}
      isPending={pending.has(shown)}
      takeBack={() => {
        mine.current.delete(shown);
        takeBack(shown);
      }}
      hasKeys={selected.size === 0}
      isUnasked={id === undefined}
      isAlone={!isWide}
      before={(block) => mine.current.add(block.id)}
      failed={(block) => mine.current.delete(block.id)}
      approved={decided}
      dismiss={dismiss}
      exempt={(block) => setDialog({ is: 'exempt', block })}
    />
  );
  return (
    <>
      {(isWide || id === undefined) && (
        <div className="head">
          <h1>Proposals</h1>
          <p className="quiet" role="status">
            {total !== undefined &&
              waiting > 0 &&
              `${waiting.toLocaleString()} ${waiting === 1 ? 'waits' : 'wait'} for a decision`}
          </p>
        </div>
      )}
      {!isWide && id !== undefined && (
        <button type="button" className="bare" onClick={back}>
          ‹ All proposals
        </button>
      )}
      {failed?.error && <Failure error={failed.error} retry={() => void failed.refetch()} />}
      <div className={isWide && list.length > 0 ? 'split' : ''}>
        {(isWide || id === undefined) && (
          <section aria-label="Waiting proposals" className="split-list">
            {first.isPending && list.length === 0 && <p className="quiet loading">Loading…</p>}
            {first.isSuccess && list.length === 0 && (
              <Empty title="No proposal waits.">
                <p>{at === undefined ? 'What rules propose shows here by itself.' : 'None waited then.'}</p>
              </Empty>
            )}
            {list.length > 1 && (
              <div className="filters">
                <Choice
                  label="Order"
                  name="sort"
                  value={sort}
                  options={SORTS}
                  onChange={(event) => change({ sort: event.target.value })}
                />
              </div>
            )}
            {list.length > 0 && (
              <Rows
                label="Proposals"
                items={list}
                total={total}
                height={5.25}
                columns={[
                  {
                    key: 'proposal',
                    title: 'Proposal',
                    width: 'minmax(8rem, 1fr)',
                    cell: (block) => (
                      <ProposalRow
                        block={block}
                        decided={others.get(block.id)}
                        dueAt={pending.get(block.id)?.dueAt}
                        takeBack={() => {
                          mine.current.delete(block.id);
                          takeBack(block.id);
                        }}
                        href={`#${href(proposalPath(block.id), { sort: query['sort'] })}`}
                      />
                    ),
                  },
                ]}
                selection={canDecide ? { ids: selected, change: select } : undefined}
                current={isWide ? shown : current}
                onCurrent={(block) => block.id !== (isWide ? id : current) && show(block.id)}
                focus={focus}
                open={(block) => open(block.id)}
                onRange={pages.onRange}
                rowClass={(block) =>
                  others.has(block.id) || pending.has(block.id) ? 'proposal over' : 'proposal'
                }
              />
            )}
            {selected.size > 0 && canDecide && (
              <Selected
                count={selected.size}
                approve={bulk('approve')}
                dismiss={bulk('dismiss')}
                none={() => select(NONE)}
              />
            )}
          </section>
        )}
        {detail}
      </div>
      {dialog?.is === 'exempt' && operates && (
        <ExemptDialog
          subject={dialog.block.subject}
          close={() => setDialog(undefined)}
          proposal={{
            before: () => mine.current.add(dialog.block.id),
            failed: () => mine.current.delete(dialog.block.id),
            done: () => decided(dialog.block),
          }}
        />
      )}
      {(dialog?.is === 'approve' || dialog?.is === 'dismiss') && (
        <BulkDialog
          action={dialog.is}
          count={selected.size}
          chunks={(signal) => {
            for (const one of selected) mine.current.add(one);
            return pages.chunks(selected, signal);
          }}
          close={() => setDialog(undefined)}
          done={(ids) => select((now) => new Set([...now].filter((one) => !ids.has(one))))}
        />
      )}
    </>
  );
}

function Selected({
  count,
  approve,
  dismiss,
  none,
}: {
  count: number;
  approve: () => void;
  dismiss: () => void;
  none: () => void;
}) {
  useKey('a', approve);
  useKey('d', dismiss);
  return (
    <div className="bulk" role="region" aria-label="What is selected">
      <span role="status">{count.toLocaleString()} selected</span>
      <button type="button" onClick={approve}>
        Approve
      </button>
      <button type="button" onClick={dismiss}>
        Dismiss
      </button>
      <button type="button" className="bare" onClick={none}>
        Select none
      </button>
    </div>
  );
}

function listedOf(list: Items<ListedBlock>, id: string): ListedBlock | undefined {
  for (let index = 0; index < list.length; index++) if (list.idAt!(index) === id) return list.at(index);
  return undefined;
}

/**
 * What waits, and for a while what somebody else has decided: it does not vanish under the pointer.
 *
 * @returns also `mine`, the ids of what is decided here, which may vanish at once
 */
function useList(rows: Items<ListedBlock>) {
  const mine = useRef(new Set<string>());
  const [others, setOthers] = useState<ReadonlyMap<string, Decided>>(new Map());
  const latest = useRef(rows);
  latest.current = rows;
  useLiveEvents(
    useCallback((event: LiveEvent) => {
      const { data, type, by, at } = event;
      const id = data['block'] as string | undefined;
      const known = latest.current;
      if (id === undefined || mine.current.has(id)) return;
      const text =
        type === 'ProposalLapsed'
          ? 'it lapsed'
          : type in DECISIONS
            ? `${actorName(by)} ${DECISIONS[type]} it`
            : '';
      if (text === '') return;
      for (let index = 0; index < known.length; index++)
        if (known.idAt!(index) === id) {
          const block = known.at(index);
          const after = index === 0 ? undefined : known.idAt!(index - 1);
          // An approval is followed by the block that it makes.
          const decided = { block: block!, text, at, after };
          if (block !== undefined) setOthers((now) => (now.has(id) ? now : new Map(now).set(id, decided)));
          return;
        }
    }, []),
  );
  useEffect(() => {
    if (others.size === 0) return;
    const timer = setInterval(() => {
      const since = Date.now() - SHOWN;
      setOthers((now) => {
        const left = [...now].filter(([, { at }]) => Date.parse(at) > since);
        return left.length === now.size ? now : new Map(left);
      });
    }, 5000);
    return () => clearInterval(timer);
  }, [others]);

  const list = useMemo<Items<ListedBlock>>(() => {
    if (others.size === 0) return rows;
    const places: { id: string; index: number | undefined }[] = [];
    const present = new Set(Array.from({ length: rows.length }, (_, index) => rows.idAt!(index)));
    const left = new Map([...others].filter(([id]) => !present.has(id)));
    const put = (id: string | undefined): void => {
      for (const [one, { after }] of left)
        if (after === id) {
          left.delete(one);
          places.push({ id: one, index: undefined });
          put(one);
        }
    };
    put(undefined);
    for (let index = 0; index < rows.length; index++) {
      const id = rows.idAt!(index);
      places.push({ id, index });
      put(id);
    }
    for (const id of left.keys()) places.push({ id, index: undefined });
    return {
      length: places.length,
      at: (place) => {
        const { id, index } = places[place]!;
        return others.get(id)?.block ?? (index === undefined ? undefined : rows.at(index));
      },
      idAt: (place) => places[place]!.id,
    };
  }, [rows, others]);
  return { others, list, mine };
}
