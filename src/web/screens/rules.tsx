import { useQuery as useServerQuery } from '@tanstack/react-query';
import type { Schemas } from '../api.js';
import { answered, api } from '../api.js';
import { OnlyNow, Parts } from '../parts/choices.js';
import { Loaded } from '../parts/states.js';
import { Table } from '../parts/table.js';
import { useAt, useHref, useQuery } from '../route.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';
import { RulesEditor } from './rules-editor.js';
import { ShadowPart } from './rules-shadow.js';

type Rules = Schemas['Rules'];
type Rule = Rules['rules'][number];
type Precision = Schemas['RulePrecision'];

const ORIGINS: Readonly<Record<Rules['origin'], string>> = {
  defaults: 'built in',
  file: 'from the file of the server',
  api: 'set here or by the API',
  shadow: 'promoted from the shadow',
};

/** What makes a block, and what another set would do. */
export function RulesScreen() {
  const [query] = useQuery();
  const at = useAt();
  const part = query['part'] ?? '';
  const path = part === '' ? '/rules' : `/rules?part=${part}`;
  const rules = useServerQuery({ queryKey: ['rules'], queryFn: () => answered(api.GET('/api/v1/rules')) });
  const { administers } = useRights();
  return (
    <>
      <h1>Rules</h1>
      <Parts
        label="Parts of this screen"
        current={path}
        parts={[
          ['/rules', 'In force'],
          ['/rules?part=edit', administers ? 'Change and try' : 'Read and try'],
          ['/rules?part=shadow', 'Shadow'],
        ]}
      />
      {at !== undefined && <OnlyNow what="Rules" path={path} />}
      {part === 'shadow' ? (
        <ShadowPart isNow={at === undefined} inForce={rules.data} />
      ) : (
        <Loaded query={rules}>
          {(data) =>
            part === 'edit' ? <RulesEditor rules={data} isNow={at === undefined} /> : <InForce rules={data} />
          }
        </Loaded>
      )}
    </>
  );
}

function InForce({ rules }: { rules: Rules }) {
  const href = useHref();
  const precision = useServerQuery({
    queryKey: ['rules', 'precision'],
    queryFn: () => answered(api.GET('/api/v1/rules/precision')),
  });
  const judged = new Map(precision.data?.items.map((one) => [one.rule, one]));
  return (
    <>
      {rules.mode === 'observe' && (
        <p className="only-now">These rules only observe: nothing is blocked or proposed by them.</p>
      )}
      {rules.warnings.length > 0 && (
        <ul className="plain panel" aria-label="Warnings">
          {rules.warnings.map((warning) => (
            <li key={warning}>
              <span className="tag tag-warn">Warning</span> {warning}
            </li>
          ))}
        </ul>
      )}
      <dl className="facts panel">
        <div>
          <dt>Rule set</dt>
          <dd>
            version {rules.version}, {ORIGINS[rules.origin]}
          </dd>
        </div>
        <div>
          <dt>Mode</dt>
          <dd>
            {rules.mode === 'enforce' ? 'enforce: rules block and propose' : 'observe: rules only watch'}
          </dd>
        </div>
        <div>
          <dt>Circuit breaker</dt>
          <dd>after {rules.maxAutomaticBlocks.replace(' in', ' automatic blocks in')}, rules only propose</dd>
        </div>
        <div>
          <dt>Learning</dt>
          <dd>
            a sender is known after {rules.learning.days} active days and {rules.learning.age}
            {rules.installedAt !== null && (
              <>
                ; running since <Time at={rules.installedAt} />
              </>
            )}
          </dd>
        </div>
      </dl>
      <Table
        label="Rules in force"
        items={rules.rules}
        keyOf={({ id }) => id}
        columns={[
          {
            title: 'Rule',
            cell: ({ id, description }) => (
              <>
                <strong className="mono">{id}</strong>
                <span className="below">{description}</span>
              </>
            ),
          },
          { title: 'Counts', cell: countOf },
          { title: 'Limit', cell: (rule) => <LimitOf rule={rule} /> },
          { title: 'Then', cell: thenOf },
          {
            title: 'Active',
            isNumber: true,
            cell: ({ id, activeBlocks }) =>
              activeBlocks === 0 ? (
                '0'
              ) : (
                <a href={`#${href('/blocks', { rule: id })}`} aria-label={`${activeBlocks} blocks by ${id}`}>
                  {activeBlocks.toLocaleString()}
                </a>
              ),
          },
          { title: 'Was right', isNumber: true, cell: ({ id }) => <Right of={judged.get(id)} /> },
        ]}
      />
      {rules.exempt.length > 0 && (
        <p className="quiet">
          {rules.exempt.length} exemptions are part of the rules:{' '}
          <a href={`#${href('/exemptions')}`}>see all</a>
        </p>
      )}
    </>
  );
}

const PER: Readonly<Record<Rule['per'], string>> = {
  account: 'an account',
  address: 'an address',
  domain: 'a domain',
  ehlo: 'an EHLO name',
  ip: 'an IP network',
};
const COUNTS: Readonly<Record<string, string>> = {
  refusedRecipients: 'recipients that do not exist',
  returnPaths: 'return paths',
  authFailures: 'wrong passwords',
};

function countOf({ count, per, window, leaveOut, direction }: Rule): string {
  const largest =
    leaveOut === null
      ? ''
      : leaveOut === 1
        ? ', without the largest message'
        : `, without the ${leaveOut} largest messages`;
  const way = direction === 'outbound' ? '' : `, ${direction === 'all' ? 'both directions' : direction}`;
  return `${COUNTS[count] ?? count} of ${PER[per]} in ${window}${largest}${way}`;
}

function LimitOf({ rule: { limit, baseline, when, score, turned } }: { rule: Rule }) {
  const also = [
    ...(baseline === null ? [] : [followsOf(baseline)]),
    ...(turned === null ? [] : [`that send more ${turned.count} in ${turned.window} than usual`]),
    ...(score === null
      ? []
      : [`and ${score.threshold} points of: ${score.signals.map(signalOf).join(', ')}`]),
    ...(when === null ? [] : [`where ${Object.entries(when).map(pairOf).join(', ')}`]),
  ];
  return (
    <>
      more than {limit.toLocaleString()}
      {also.map((text) => (
        <span key={text} className="below">
          {text}
        </span>
      ))}
    </>
  );
}

function followsOf({
  baseline,
  record,
  largest,
  plus,
  start,
  floor,
  ceiling,
}: NonNullable<Rule['baseline']>): string {
  const most = [
    ...(baseline > 0 ? [`${baseline} times the usual`] : []),
    ...(record > 0 ? [`${record} times the record`] : []),
    ...(largest > 0 ? [`${largest} times the largest message`] : []),
  ].join(' or ');
  return [
    `or ${most}${plus > 0 ? ` and ${plus}` : ''}, if that is more`,
    ...(start === floor ? [] : [`${start} while it is new`]),
    ...(ceiling === null ? [] : [`at most ${ceiling}`]),
  ].join('; ');
}

const pairOf = ([name, value]: readonly [string, unknown]): string =>
  value === true ? name : `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`;

function signalOf({ points, ...signal }: { points: number; [name: string]: unknown }): string {
  return `${Object.entries(signal).map(pairOf).join(' ')}${points === 1 ? '' : ` (${points})`}`;
}

const REFUSALS: Readonly<Record<Rule['refuse'], string>> = {
  soft: '',
  defer: ', told to come later',
  honest: ', told so',
  hold: ', mail is held',
};

function thenOf({ then, for: span, escalate, refuse }: Rule): string {
  if (then === 'observe') return 'only observes';
  const longer = escalate === null ? '' : `, up to ${escalate.max} if it comes back`;
  const length = span === 'indefinite' ? 'until released' : `for ${span}`;
  return `${then === 'block' ? 'blocks' : 'proposes a block'} ${length}${longer}${REFUSALS[refuse]}`;
}

function Right({ of }: { of: Precision | undefined }) {
  if (of === undefined || of.precision === null) return <span className="quiet">not judged</span>;
  const { precision, confirmed, falsePositives, dismissed } = of;
  const wrong = falsePositives + dismissed;
  return (
    <span title={`${confirmed} right, ${falsePositives} false positives, ${dismissed} proposals dismissed`}>
      {Math.round(precision * 100)} % of {confirmed + wrong}
    </span>
  );
}
