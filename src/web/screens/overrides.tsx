import { useInfiniteQuery, useQuery as useServerQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { Schemas } from '../api.js';
import { answered, api, ApiError } from '../api.js';
import { subjectName, SubjectLink } from '../parts/blocks.js';
import { Dialog } from '../parts/dialog.js';
import { AskOperators } from '../parts/exempt.js';
import type { Values } from '../parts/forms.js';
import { Choice, Field, FieldFault, Form, instantOf } from '../parts/forms.js';
import { fault, note } from '../parts/notes.js';
import { factorOf, limitOf } from '../parts/numbers.js';
import type { Column } from '../parts/rows.js';
import { Rows } from '../parts/rows.js';
import { Empty, Failure } from '../parts/states.js';
import { useAt, useQuery } from '../route.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';

type Override = Schemas['Override'];
type Layer = Schemas['OverrideLayer'];
type Limit = number | 'off';
interface Terms {
  limits?: Record<string, Limit>;
  factor?: number;
  total?: { limits?: Record<string, Limit>; factor?: number };
  until?: string | null;
  reason?: string;
  plan?: string;
}

const PAGE = 500;
/** The version of limits that nobody has ever set. */
const NEVER_SET = 0;

function useOverrides() {
  const client = useQueryClient();
  const refresh = (): void => {
    for (const key of ['overrides', 'sender', 'changes', 'check'])
      void client.invalidateQueries({ queryKey: [key] });
  };
  const pathOf = ({ type, value }: Override['subject']) => ({ path: { type, value } });

  const set = async (subject: Override['subject'], terms: Terms, version?: number): Promise<void> => {
    const header = version === undefined ? {} : { 'If-Match': `"${version}"` };
    const params = { ...pathOf(subject), header };
    await answered(api.PUT('/api/v1/overrides/{type}/{value}', { params, body: terms }));
    refresh();
  };

  /** Sets the limits of a sender that has none. @returns what it has, if it has some: then nothing is set */
  const setFirst = async (subject: Override['subject'], terms: Terms): Promise<Override | undefined> => {
    try {
      await set(subject, terms, NEVER_SET);
      return undefined;
    } catch (thrown) {
      if (!(thrown instanceof ApiError) || thrown.status !== 412) throw thrown;
    }
    const had = await answered(api.GET('/api/v1/overrides/{type}/{value}', { params: pathOf(subject) }));
    if (had.api?.inForce === true) return had;
    await set(subject, terms, had.version);
    return undefined;
  };

  const remove = async ({ subject, api: layer }: Override): Promise<void> => {
    await answered(api.DELETE('/api/v1/overrides/{type}/{value}', { params: pathOf(subject), body: {} }));
    refresh();
    const again = async (): Promise<void> => {
      await set(subject, termsOf(layer!));
      note(`Set the limits of ${subjectName(subject)} again.`);
    };
    // Limits that are over cannot be set again.
    const undo = layer?.inForce === true ? { undo: () => again() } : {};
    note(`Removed the limits of ${subjectName(subject)}.`, undo);
  };

  return { set, setFirst, remove };
}

/** What was set, as the API takes it again. */
function termsOf({ limits, factor, total, until, reason, plan }: Layer): Terms {
  return {
    ...allowanceOf({ limits, factor }),
    ...(total === null ? {} : { total: allowanceOf(total) }),
    until,
    ...(reason === null ? {} : { reason }),
    ...(plan === null ? {} : { plan }),
  };
}

const allowanceOf = ({ limits, factor }: Pick<Layer, 'limits' | 'factor'>) => ({
  ...(Object.keys(limits).length === 0 ? {} : { limits }),
  ...(factor === null ? {} : { factor }),
});

/** Limits that differ from the rules', by sender. */
export function OverridesPart() {
  const { operates } = useRights();
  const at = useAt();
  const [query, change] = useQuery();
  const [dialog, setDialog] = useState<{ override?: Override }>();
  const { remove } = useOverrides();
  const prefix = query['prefix']?.trim().toLowerCase() || undefined;
  const list = useInfiniteQuery({
    queryKey: ['overrides', prefix],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam: cursor, signal }) =>
      answered(
        api.GET('/api/v1/overrides', { params: { query: { prefix, limit: String(PAGE), cursor } }, signal }),
      ),
    getNextPageParam: ({ next }) => next ?? undefined,
  });
  const items = useMemo(
    () =>
      list.data?.pages.flatMap((page) =>
        page.items.map((one) => ({ ...one, id: `${one.subject.type} ${one.subject.value}` })),
      ) ?? [],
    [list.data],
  );
  const canChange = operates && at === undefined;

  const columns: readonly Column<Override & { id: string }>[] = [
    {
      key: 'subject',
      title: 'Sender',
      width: 'minmax(12rem, 2fr)',
      cell: ({ subject }) => <SubjectLink subject={subject} />,
    },
    {
      key: 'terms',
      title: 'Limits',
      width: 'minmax(14rem, 3fr)',
      cell: (one) => <TermsCell override={one} />,
    },
    {
      key: 'why',
      title: 'Plan, why',
      width: 'minmax(8rem, 2fr)',
      cell: ({ api: own, file }) => {
        const { plan, reason } = own ?? file!;
        return [plan, reason].filter(Boolean).join(': ') || '–';
      },
    },
    {
      key: 'until',
      title: 'Left',
      width: '6rem',
      cell: ({ api: own, file }) => {
        const { until } = own ?? file!;
        return until === null ? 'for ever' : <Time at={until} as="left" />;
      },
    },
    {
      key: 'by',
      title: 'Who, when',
      width: '13.5rem',
      cell: ({ api: own, file }) =>
        own === null ? (
          'a file'
        ) : (
          <>
            {actorName(own.by)}, <Time at={own.at} />
            {file !== null && ', over a file'}
          </>
        ),
    },
    ...(canChange
      ? [
          {
            key: 'act',
            title: 'Actions',
            width: '10rem',
            cell: (override: Override) => (
              <span className="line">
                <button type="button" onClick={() => setDialog({ override })}>
                  Edit
                </button>
                {override.api !== null && (
                  <button type="button" className="bare" onClick={() => void remove(override).catch(fault)}>
                    Remove
                  </button>
                )}
              </span>
            ),
          },
        ]
      : []),
  ];

  return (
    <>
      <div className="filters">
        <Field
          label="Begins with"
          name="prefix"
          type="search"
          autoComplete="off"
          value={query['prefix'] ?? ''}
          onChange={(event) => change({ prefix: event.target.value })}
        />
        {canChange && (
          <button type="button" className="primary" onClick={() => setDialog({})}>
            Set limits
          </button>
        )}
      </div>
      {list.isError && <Failure error={list.error} retry={() => void list.refetch()} />}
      {list.isPending && !list.isError && <p className="quiet loading">Loading…</p>}
      {list.isSuccess && items.length === 0 && (
        <Empty
          title={
            prefix === undefined
              ? 'Everybody has the limits of the rules'
              : 'No such sender has limits of its own'
          }
        >
          {canChange && (
            <p>Give an account or a domain limits of its own: a larger plan, a known newsletter.</p>
          )}
          {!operates && <AskOperators what="give a sender limits of its own" />}
        </Empty>
      )}
      {items.length > 0 && (
        <Rows
          label="Limits of senders"
          items={items}
          columns={columns}
          more={list.hasNextPage ? () => void (!list.isFetchingNextPage && list.fetchNextPage()) : undefined}
        />
      )}
      {dialog !== undefined && (
        <OverrideDialog
          key={dialog.override === undefined ? 'new' : 'known'}
          subject={dialog.override?.subject}
          override={dialog.override}
          edit={(override) => setDialog({ override })}
          close={() => setDialog(undefined)}
        />
      )}
    </>
  );
}

function TermsCell({ override: { api: own, file, unused } }: { override: Override }) {
  const layers = [own, file].filter((layer) => layer !== null);
  return (
    <>
      {layers.map((layer) => (
        <span key={layer === own ? 'api' : 'file'} className={layer.inForce ? undefined : 'quiet'}>
          {layer !== own && own !== null && ' File: '}
          {wordsOf(layer)}
          {!layer.inForce && ' (over)'}{' '}
        </span>
      ))}
      {unused.length > 0 && (
        <span className="tag tag-warn" title={unused.map(({ message }) => message).join('; ')}>
          {unused.length} unused
        </span>
      )}
    </>
  );
}

function wordsOf({ limits, factor, total }: Pick<Layer, 'limits' | 'factor' | 'total'>): string {
  const of = (one: Pick<Layer, 'limits' | 'factor'>, what = ''): string[] => [
    ...(one.factor === null ? [] : [`${what}${one.factor} times the limits`]),
    ...Object.entries(one.limits).map(([rule, limit]) => `${what}${rule} ${limit.toLocaleString()}`),
  ];
  return [...of({ limits, factor }), ...(total === null ? [] : of(total, 'in all '))].join(', ');
}

const hasAlready = ({ api: own }: Override): string =>
  `It has limits of its own: ${wordsOf(own!)}. These would take their place.`;

interface Row {
  readonly key: number;
  readonly rule: string;
  readonly limit: string;
}

/**
 * Sets what one sender may do.
 *
 * @param override what is set by now, if known
 * @param edit begins with what is set
 */
function OverrideDialog({
  subject,
  override,
  edit,
  close,
}: {
  subject?: Override['subject'] | undefined;
  override?: Override | undefined;
  edit: (override: Override) => void;
  close: () => void;
}) {
  const { set, setFirst } = useOverrides();
  const [had, setHad] = useState<Override>();
  const rules = useServerQuery({ queryKey: ['rules'], queryFn: () => answered(api.GET('/api/v1/rules')) });
  const before = override?.api ?? undefined;
  const [type, setType] = useState(subject?.type ?? 'account');
  const [rows, setRows] = useState<readonly Row[]>(() =>
    [...Object.entries(before?.limits ?? {}), ...Object.entries(before?.total?.limits ?? {})].map(
      ([rule, limit], key) => ({ key, rule, limit: `${limit}` }),
    ),
  );
  const isDomain = type === 'domain';
  /** Rules of a whole domain are set for it in all, others for each of its accounts. */
  const isTotal = (rule: string): boolean =>
    isDomain &&
    (rules.data?.rules.find(({ id }) => id === rule)?.per === 'domain' ||
      (rules.data?.rules.every(({ id }) => id !== rule) === true &&
        before?.total?.limits[rule] !== undefined));
  const choices = [
    ...(rules.data?.rules ?? [])
      .filter(({ per }) => per === 'account' || (isDomain && per === 'domain'))
      .map(({ id, per }) => [id, per === 'domain' ? `${id}, the domain in all` : id] as const),
  ];
  const optionsOf = (rule: string) =>
    choices.some(([id]) => id === rule) ? choices : [[rule, `${rule} (not in force)`] as const, ...choices];

  const send = async (values: Values): Promise<void> => {
    const { value = '', factor = '', totalFactor = '', plan = '', reason = '', until = '' } = values;
    const limitsOf = (total: boolean) =>
      Object.fromEntries(
        rows.filter(({ rule }) => isTotal(rule) === total).map(({ rule, limit }) => [rule, limitOf(limit)]),
      );
    const [limits, totals] = [limitsOf(false), limitsOf(true)];
    const total = {
      ...(Object.keys(totals).length === 0 ? {} : { limits: totals }),
      ...(totalFactor.trim() === '' ? {} : { factor: factorOf(totalFactor) }),
    };
    const terms: Terms = {
      ...(Object.keys(limits).length === 0 ? {} : { limits }),
      ...(factor.trim() === '' ? {} : { factor: factorOf(factor) }),
      ...(isDomain && Object.keys(total).length > 0 ? { total } : {}),
      ...(plan.trim() === '' ? {} : { plan: plan.trim() }),
      ...(reason.trim() === '' ? {} : { reason: reason.trim() }),
      ...(until === '' ? {} : { until: instantOf(until) }),
    };
    const chosen = subject ?? { type, value: value.trim() || ' ' };
    if (override === undefined) {
      const found = await setFirst(chosen, terms);
      setHad(found);
      if (found !== undefined) throw new FieldFault([{ field: 'value', message: hasAlready(found) }]);
    } else await set(chosen, terms, override.version);
    note(`Set the limits of ${subjectName(chosen)}.`);
    close();
  };

  return (
    <Dialog title={subject === undefined ? 'Set limits' : `Limits of ${subject.value}`} close={close}>
      <Form send={send} action="Set" cancel={close}>
        {(faultOf) => (
          <>
            {subject === undefined && (
              <>
                <Choice
                  label="For"
                  name="type"
                  fault={faultOf('type')}
                  value={type}
                  onChange={(event) => setType(event.target.value as 'account' | 'domain')}
                  options={[
                    ['account', 'An account'],
                    ['domain', 'A domain, and each account of it'],
                  ]}
                />
                <Field
                  label="Its name"
                  name="value"
                  fault={faultOf('value') ?? faultOf('subject')}
                  autoComplete="off"
                  spellCheck={false}
                />
                {had !== undefined && (
                  <button type="button" onClick={() => edit(had)}>
                    Edit what it has
                  </button>
                )}
              </>
            )}
            <Field
              label={
                isDomain ? 'Each account: times the limits of the rules' : 'Times the limits of the rules'
              }
              name="factor"
              inputMode="decimal"
              fault={faultOf('factor')}
              defaultValue={before?.factor ?? ''}
              hint="2 for twice as much; 0.1 to 100. Empty: as the rules say."
            />
            {isDomain && (
              <Field
                label="The domain in all: times the limits"
                name="totalFactor"
                inputMode="decimal"
                fault={faultOf('total.factor')}
                defaultValue={before?.total?.factor ?? ''}
              />
            )}
            {rows.map((row) => {
              const field = isTotal(row.rule) ? `total.limits.${row.rule}` : `limits.${row.rule}`;
              const change = (some: Partial<Row>): void =>
                setRows(rows.map((one) => (one === row ? { ...row, ...some } : one)));
              return (
                <div key={row.key} className="limit-row">
                  <Choice
                    label="Rule"
                    name={`rule${row.key}`}
                    value={row.rule}
                    onChange={(event) => change({ rule: event.target.value })}
                    options={optionsOf(row.rule)}
                  />
                  <Field
                    label="Limit, or off"
                    name={`limit${row.key}`}
                    value={row.limit}
                    autoComplete="off"
                    fault={faultOf(field)}
                    onChange={(event) => change({ limit: event.target.value })}
                  />
                  <button
                    type="button"
                    className="bare"
                    aria-label={`Leave the limit of ${row.rule} out`}
                    onClick={() => setRows(rows.filter((one) => one !== row))}
                  >
                    ×
                  </button>
                </div>
              );
            })}
            <button
              type="button"
              disabled={choices.length === 0}
              onClick={() => {
                const rule = choices.find(([id]) => rows.every((row) => row.rule !== id)) ?? choices[0]!;
                const key = Math.max(-1, ...rows.map((row) => row.key)) + 1;
                setRows([...rows, { key, rule: rule[0], limit: '' }]);
              }}
            >
              Add the limit of one rule
            </button>
            <div className="field" />
            <Field label="Plan" name="plan" fault={faultOf('plan')} defaultValue={before?.plan ?? ''} />
            <Field label="Why" name="reason" fault={faultOf('reason')} defaultValue={before?.reason ?? ''} />
            <Field
              label="Until (empty: for ever)"
              name="until"
              type="datetime-local"
              fault={faultOf('until')}
              defaultValue={localOf(before?.until)}
            />
          </>
        )}
      </Form>
    </Dialog>
  );
}

function localOf(at: string | null | undefined): string {
  if (at === null || at === undefined) return '';
  const instant = new Date(at);
  return new Date(instant.getTime() - instant.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
