import { useQuery } from '@tanstack/react-query';
import type { FormEvent } from 'react';
import { useEffect, useRef, useState } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { Block } from '../api.js';
import { answered, api, ApiError } from '../api.js';
import { useKey } from '../keys.js';
import { StateTag, SubjectLink } from '../parts/blocks.js';
import { useDecisions } from '../parts/decisions.js';
import { SpanField, TextField } from '../parts/forms.js';
import { Failure } from '../parts/states.js';
import { blockPath, useAt, useHref } from '../route.js';
import { InOwnZone, Time } from '../time.js';
import { useRights } from '../who.js';
import { ProposalFacts } from './proposal-facts.js';
import type { Decided } from './proposal-row.js';

interface Detail {
  readonly id: string;
  /** As the list has it. */
  readonly listed: Block | undefined;
  readonly decided: Decided | undefined;
  readonly isPending: boolean;
  readonly takeBack: () => void;
  readonly hasKeys: boolean;
  /** Whether it shows by itself: nobody has chosen it. */
  readonly isUnasked: boolean;
  /** Whether it took the place of the list, and of the row that had the focus. */
  readonly isAlone: boolean;
  /** Before it is decided, so that its event is known to be one's own; and where that failed. */
  readonly before: (block: Block) => void;
  readonly failed: (block: Block) => void;
  readonly approved: (block: Block) => void;
  readonly dismiss: (block: Block, body: { note?: string; falsePositive?: boolean }) => void;
  readonly exempt: (block: Block) => void;
}

/** How long one stays at a proposal before its facts are fetched, in milliseconds: going down a list fetches none. */
const STAYS = 150;
/** How long one is shown that nobody has chosen before keys decide on it, in milliseconds. They may be meant for what was there before. */
const SEEN = 1000;

/** One proposal: what is known, and what can be done. */
export function ProposalDetail(detail: Detail) {
  const { id, listed, decided, isAlone, isUnasked } = detail;
  const at = useAt();
  const hasStayed = useStayed(STAYS);
  const isSeen = useStayed(SEEN);
  const query = useQuery({
    queryKey: ['block', id],
    queryFn: () => answered(api.GET('/api/v1/blocks/{id}', { params: { path: { id } } })),
    enabled: hasStayed && at === undefined,
  });
  const block = at === undefined ? (query.data ?? listed) : listed;
  const section = useRef<HTMLElement>(null);
  const isThere = block !== undefined;
  useEffect(() => {
    if (isAlone && document.activeElement === document.body) section.current?.focus();
  }, [isAlone, isThere]);
  if (block === undefined) {
    if (query.error !== null) return <Missing error={query.error} retry={() => void query.refetch()} />;
    if (at !== undefined) return <p className="quiet">It did not wait then.</p>;
    return <p className="quiet loading">Loading…</p>;
  }
  const isOver = block.state !== 'proposed' || decided !== undefined;
  return (
    <section ref={section} tabIndex={-1} className="proposal-detail panel" aria-labelledby="proposal-title">
      <div className="head">
        <h2 id="proposal-title">
          <SubjectLink subject={block.subject} />
        </h2>
        <span className="line quiet">
          {!isOver && (
            <>
              lapses in <Time at={block.lapsesAt} as="left" />
            </>
          )}
          <StateTag block={block} />
        </span>
      </div>
      {block.evidence !== null ? <p>{block.evidence.sentence}</p> : <p>{block.description}</p>}
      {isOver && <Outcome block={block} decided={decided} />}
      <Decide {...detail} block={block} isOver={isOver} hasKeys={detail.hasKeys && (isSeen || !isUnasked)} />
      {hasStayed && <ProposalFacts block={block} />}
    </section>
  );
}

function useStayed(length: number): boolean {
  const [hasStayed, set] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => set(true), length);
    return () => clearTimeout(timer);
  }, [length]);
  return hasStayed;
}

function Missing({ error, retry }: { error: Error; retry: () => void }) {
  if (!(error instanceof ApiError && error.status === 404)) return <Failure error={error} retry={retry} />;
  return (
    <div className="empty">
      <p className="empty-title">There is no such proposal.</p>
      <p>It may be of another server, or what you may not see. Choose one from the list, or search above.</p>
    </div>
  );
}

/** What became of it, for who comes late. */
function Outcome({ block, decided }: { block: Block; decided: Decided | undefined }) {
  const href = useHref();
  const last = block.history.findLast(({ type }) => !type.startsWith('Hook') && type !== 'BlockProposed');
  const [text, at] =
    block.state === 'proposed' || last === undefined
      ? [decided?.text ?? '', decided?.at]
      : [outcomeOf(block, last), last.at];
  return (
    <div className="notice" role="status">
      <p>
        <strong>
          {text} <Time at={at} as="ago" />.
        </strong>{' '}
        {last?.note !== undefined && `“${last.note}” `}
        <a href={`#${href(blockPath(block.id))}`}>Open the block</a>
      </p>
    </div>
  );
}

function outcomeOf(block: Block, { by, type }: Block['history'][number]): string {
  const who = actorName(by);
  if (block.state === 'lapsed') return 'It lapsed: nobody decided';
  if (block.state === 'expired') return 'The block that was approved expired';
  const verbs: Readonly<Record<string, string>> = {
    ProposalApproved: 'approved it',
    ProposalDismissed: 'dismissed it',
    BlockImposed: 'blocked it',
    BlockReleased: 'released it',
    BlockExtended: 'extended it',
    BlockShortened: 'shortened it',
  };
  const what = verbs[type] ?? `decided (${type})`;
  return `${who} ${what}${block.falsePositive ? ' as a false positive' : ''}`;
}

function Decide({
  block,
  isOver,
  isPending,
  takeBack,
  hasKeys,
  before,
  failed,
  approved,
  dismiss,
  exempt,
}: Detail & { readonly block: Block; readonly isOver: boolean }) {
  const { approve } = useDecisions();
  const { decides, operates } = useRights();
  const at = useAt();
  const form = useRef<HTMLFormElement>(null);
  const [isSending, setSending] = useState(false);
  const [error, setError] = useState<Error>();
  const [isTyped, setTyped] = useState(false);
  const canDecide = decides && at === undefined && !isOver && !isPending && !isSending;
  const faults = error instanceof ApiError ? error : undefined;
  const valuesOf = () => {
    const data = new FormData(form.current!);
    const text = (name: string): string => {
      const value = data.get(name);
      return typeof value === 'string' ? value : '';
    };
    return { span: text('span'), until: text('until'), note: text('note') };
  };
  const doApprove = async (): Promise<void> => {
    if (!canDecide) return;
    setSending(true);
    setError(undefined);
    before(block);
    try {
      await approve(block, valuesOf());
      setTyped(false);
      approved(block);
    } catch (thrown) {
      failed(block);
      setError(thrown as Error);
    } finally {
      setSending(false);
    }
  };
  const doDismiss = (falsePositive: boolean): void => {
    if (!canDecide) return;
    const note = valuesOf().note.trim();
    setTyped(false);
    dismiss(block, { ...(note === '' ? {} : { note }), ...(falsePositive ? { falsePositive } : {}) });
  };
  const keys = hasKeys && canDecide;
  useKey('a', keys ? () => void doApprove() : undefined);
  useKey('d', keys ? () => doDismiss(false) : undefined);
  useKey('f', keys && operates ? () => doDismiss(true) : undefined);
  useKey('e', keys && operates ? () => exempt(block) : undefined);
  if (!decides || at !== undefined) return null;
  // Whoever is still typing goes on in the field: elsewhere the letters would be keys.
  if (isOver && !isTyped) return null;
  if (isPending)
    return (
      <div className="notice" role="status">
        <p>
          <strong>It will be dismissed in a few seconds.</strong> It still waits until then.
        </p>
        <button type="button" onClick={takeBack}>
          Undo
        </button>
      </div>
    );
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    void doApprove();
  };
  const of = (field: string): string | undefined => faults?.of(field);
  const isShown = ['note', 'duration', 'until'].some((field) => of(field) !== undefined);
  return (
    <form
      ref={form}
      noValidate
      onSubmit={submit}
      onInput={() => setTyped(true)}
      className="decide"
      aria-label="Decide"
    >
      <div className="decide-fields">
        <SpanField
          fault={of}
          label="Block for"
          first={[
            '',
            `${block.duration === 'indefinite' ? 'Until released' : block.duration}, as the rule says`,
          ]}
        />
        <TextField label="Note (for your colleagues)" name="note" rows={1} fault={of('note')} />
      </div>
      {error !== undefined && !isShown && (
        <p className="fault" role="alert">
          <InOwnZone text={error.message} />
        </p>
      )}
      {isOver ? (
        <p className="quiet">What you typed here was not sent.</p>
      ) : (
        <div className="buttons">
          <button type="submit" className="danger" disabled={isSending} title="Key: a">
            Approve
          </button>
          <button type="button" onClick={() => doDismiss(false)} title="Key: d">
            Dismiss
          </button>
          {operates && (
            <>
              <button
                type="button"
                onClick={() => doDismiss(true)}
                title="The rule was wrong: what was sent is usual from now on. Key: f"
              >
                False positive
              </button>
              <button type="button" onClick={() => exempt(block)} title="No rule acts on it then. Key: e">
                Exempt…
              </button>
            </>
          )}
        </div>
      )}
    </form>
  );
}
