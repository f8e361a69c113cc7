import { useQuery as useFetched } from '@tanstack/react-query';
import { answered, api } from '../api.js';
import { SUBJECT_OPTIONS } from '../parts/blocks.js';
import { Choice, Field } from '../parts/forms.js';
import type { Query } from '../route.js';
import { useRights } from '../who.js';

export type Sort = 'newest' | 'oldest' | 'since' | 'subject' | 'until' | 'refused';

const STATES = [
  ['active', 'In force'],
  ['proposed', 'Proposed'],
  ['released,expired,dismissed,lapsed', 'Ended'],
  ['all', 'All'],
] as const;
const SORTS = [
  ['newest', 'Newest first'],
  ['oldest', 'Oldest first'],
  ['since', 'In force last'],
  ['until', 'Ends first'],
  ['refused', 'Refused most'],
  ['subject', 'By name'],
] as const;
const ORIGINS = [
  ['', 'Anybody'],
  ['rule', 'A rule'],
  ['admin', 'A person'],
] as const;
const DIRECTIONS = [
  ['', 'Any'],
  ['outbound', 'It sends'],
  ['inbound', 'It arrives'],
  ['all', 'Both ways'],
] as const;

/** What is listed: it is all in the URL. */
export function BlockFilters({
  query,
  change,
  at,
  total,
}: {
  query: Readonly<Record<string, string>>;
  change: (some: Query) => void;
  at: string | undefined;
  total: number | undefined;
}) {
  const choice = (
    label: string,
    name: string,
    options: readonly (readonly [string, string])[],
    value = '',
  ) => (
    <Choice
      label={label}
      name={name}
      value={query[name] ?? value}
      onChange={(event) => change({ [name]: event.target.value })}
      options={options}
    />
  );
  const rules = useRuleIds();
  const rule = query['rule'] ?? '';
  const options = rule === '' || rules.includes(rule) ? rules : [...rules, rule];
  return (
    <div className="filters">
      <Field
        label="Search"
        name="q"
        type="search"
        value={query['q'] ?? ''}
        onChange={(event) => change({ q: event.target.value })}
      />
      {choice('State', 'state', STATES, 'active')}
      {choice('Type', 'type', [['', 'Any'], ...SUBJECT_OPTIONS])}
      {choice('Mail', 'direction', DIRECTIONS)}
      {choice('Asked for by', 'origin', ORIGINS)}
      {options.length > 0 && choice('Rule', 'rule', [['', 'Any'], ...options.map((id) => [id, id] as const)])}
      {choice(
        'Order',
        'sort',
        at === undefined ? SORTS : SORTS.filter(([sort]) => sort !== 'until' && sort !== 'refused'),
        'newest',
      )}
      <p className="quiet" role="status">
        {total !== undefined && `${total.toLocaleString()} ${total === 1 ? 'block' : 'blocks'}`}
      </p>
    </div>
  );
}

/** The administrator of a domain does not see the rules, but may come from a link that names one. */
function useRuleIds(): readonly string[] {
  const { seesServer } = useRights();
  const { data } = useFetched({
    queryKey: ['rules', 'ids'],
    queryFn: () => answered(api.GET('/api/v1/rules')),
    select: ({ rules }) => rules.map(({ id }) => id),
    enabled: seesServer,
    staleTime: 60_000,
  });
  return data ?? [];
}
