import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { Subject, Schemas } from '../api.js';
import { answered, api } from '../api.js';
import { subjectName, SubjectLink, SUBJECT_OPTIONS } from '../parts/blocks.js';
import { OnlyNow, Parts } from '../parts/choices.js';
import { useDecisions } from '../parts/decisions.js';
import { Dialog } from '../parts/dialog.js';
import type { Values } from '../parts/forms.js';
import { Choice, Field, Form, SpanField, spanBody } from '../parts/forms.js';
import { fault, note } from '../parts/notes.js';
import type { Column } from '../parts/rows.js';
import { Rows } from '../parts/rows.js';
import { Empty, Failure } from '../parts/states.js';
import { useAt, useQuery } from '../route.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';
import { OverridesPart } from './overrides.js';

type Exemption = Schemas['Exemption'];
type Granted = Schemas['GrantedExemption'];
type GoingOn = Granted['blocks'][number];

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

function useExemptions() {
  const client = useQueryClient();
  const refresh = (): void => {
    for (const key of ['exemptions', 'sender', 'changes', 'check'])
      void client.invalidateQueries({ queryKey: [key] });
  };

  const exempt = async ({ type, value = '', reason = '', ...values }: Values): Promise<Granted> => {
    const subject = { type: type as Subject['type'], value };
    const body = { subject, reason, ...spanBody(values) };
    const granted = await answered(api.POST('/api/v1/exemptions', { body }));
    refresh();
    note(`Exempted ${subjectName(granted.subject)}.`, {
      undo: () => void remove(granted, false).catch(fault),
    });
    return granted;
  };

  const remove = async (exemption: Exemption, isUndoable = true): Promise<void> => {
    const { id, subject } = exemption;
    await answered(api.DELETE('/api/v1/exemptions/{id}', { params: { path: { id } } }));
    refresh();
    note(
      `Rules act on ${subjectName(subject)} again.`,
      isUndoable ? { undo: () => void again(exemption).catch(fault) } : {},
    );
  };

  const again = async ({ subject, reason, until }: Exemption): Promise<void> => {
    const span = until === null ? { indefinite: true as const } : { until };
    await answered(api.POST('/api/v1/exemptions', { body: { subject, reason, ...span } }));
    refresh();
    note(`Exempted ${subjectName(subject)} again.`);
  };

  return { exempt, remove };
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
          <p>Exempt who sends much and is known to you: a newsletter, a ticket system.</p>
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

/** @param subject what is filled in before */
export function ExemptDialog({ subject, close }: { subject?: Subject | undefined; close: () => void }) {
  const { exempt } = useExemptions();
  const [granted, setGranted] = useState<Granted>();
  const send = async (values: Values): Promise<void> => {
    const done = await exempt(values);
    // Allowing unblocks nobody: who is blocked must be seen at once.
    if (done.blocks.length > 0) setGranted(done);
    else close();
  };
  if (granted !== undefined) return <StillBlocked granted={granted} close={close} />;
  return (
    <Dialog title="Exempt a sender" close={close}>
      <Form send={send} action="Exempt" cancel={close}>
        {(faultOf) => (
          <>
            <Choice
              label="Whom to exempt"
              name="type"
              fault={faultOf('subject.type')}
              defaultValue={subject?.type ?? 'account'}
              options={SUBJECT_OPTIONS}
            />
            <Field
              label="Its name"
              name="value"
              fault={faultOf('subject.value') ?? faultOf('subject')}
              defaultValue={subject?.value}
              hint="As news@example.com, example.com, mail.example.com or 192.0.2.0/24."
              autoComplete="off"
              spellCheck={false}
            />
            <Field label="Why" name="reason" fault={faultOf('reason')} />
            <SpanField fault={faultOf} />
          </>
        )}
      </Form>
    </Dialog>
  );
}

/** Blocks that an exemption covers, and does not end. */
function StillBlocked({ granted, close }: { granted: Granted; close: () => void }) {
  const { release } = useDecisions();
  const [released, setReleased] = useState<ReadonlySet<string>>(new Set());
  const free = async ({ id }: GoingOn): Promise<void> => {
    const block = await answered(api.GET('/api/v1/blocks/{id}', { params: { path: { id } } }));
    await release(block, { note: `exempt now: ${granted.reason}` });
    setReleased((before) => new Set([...before, id]));
  };
  return (
    <Dialog title={`${granted.subject.value} is exempt, and still blocked`} close={close}>
      <p>An exemption keeps rules from acting from now on. These blocks go on until they are released:</p>
      <ul className="plain">
        {granted.blocks.map((block) => (
          <li key={block.id} className="line">
            <span className="grow">
              {subjectName(block.subject)}{' '}
              <span className="quiet">
                {block.until === null ? (
                  'until released'
                ) : (
                  <>
                    for another <Time at={block.until} as="left" />
                  </>
                )}
              </span>
            </span>
            {released.has(block.id) ? (
              <span className="tag tag-good">released</span>
            ) : (
              <button
                type="button"
                aria-label={`Release ${subjectName(block.subject)}`}
                onClick={() => void free(block).catch(fault)}
              >
                Release
              </button>
            )}
          </li>
        ))}
      </ul>
      <div className="buttons">
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
