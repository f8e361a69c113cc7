import { useQuery as useServerQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { Schemas } from '../api.js';
import { answered, api, ApiError } from '../api.js';
import { SubjectLink } from '../parts/blocks.js';
import { Dialog } from '../parts/dialog.js';
import { Diff } from '../parts/diff.js';
import { Choice, Form } from '../parts/forms.js';
import { note } from '../parts/notes.js';
import { Empty, Failure, Loaded } from '../parts/states.js';
import { Table } from '../parts/table.js';
import { blockPath, useHref, useQuery } from '../route.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';
import { useRefreshRules } from './rules-editor.js';

type Shadow = Schemas['ShadowRules'];
type Rules = Schemas['Rules'];
type Kind = Schemas['ShadowDifference']['kind'];

const KINDS: Readonly<Record<Kind, string>> = {
  shadowOnly: 'only the shadow acts',
  liveOnly: 'only the rules in force act',
  stronger: 'the shadow blocks, the rules in force propose',
  weaker: 'the shadow proposes, the rules in force block',
};

/** Rules that count along and do nothing, and how they differ from those in force. */
export function ShadowPart({ isNow, inForce }: { isNow: boolean; inForce: Rules | undefined }) {
  const { administers } = useRights();
  const href = useHref();
  const [dialog, setDialog] = useState<'promote' | 'remove'>();
  const close = (): void => setDialog(undefined);
  const shadow = useServerQuery({
    queryKey: ['shadow'],
    queryFn: () => answered(api.GET('/api/v1/rules/shadow')),
    refetchInterval: 10_000,
  });
  if (shadow.error instanceof ApiError && shadow.error.status === 404)
    return (
      <Empty title="No rules run in the shadow">
        <p>
          Rules in the shadow count along and do nothing: one sees what they would do before they are in
          force.
        </p>
        {administers && (
          <a href={`#${href('/rules', { part: 'edit' })}`}>Change the rules, then run them in the shadow</a>
        )}
      </Empty>
    );
  return (
    <Loaded query={shadow}>
      {(data) => (
        <>
          <div className="head">
            <p className="grow">
              By {actorName(data.by)}, <Time at={data.since} as="ago" />; compared with version {data.inForce}{' '}
              in force.
            </p>
            {administers && isNow && (
              <div className="line">
                <button type="button" onClick={() => setDialog('remove')}>
                  Remove
                </button>
                <button type="button" className="primary" onClick={() => setDialog('promote')}>
                  Put in force
                </button>
              </div>
            )}
          </div>
          <Compared shadow={data} />
          <Differences />
          <section className="panel" aria-labelledby="shadow-source">
            <h2 id="shadow-source">How the rules differ</h2>
            {inForce !== undefined && (
              <Diff label="Lines that differ" before={inForce.source} after={data.source} />
            )}
          </section>
          {dialog === 'promote' && <PromoteDialog shadow={data} inForce={inForce} close={close} />}
          {dialog === 'remove' && <RemoveDialog close={close} />}
        </>
      )}
    </Loaded>
  );
}

function Compared({ shadow: { compared, open, byRule } }: { shadow: Shadow }) {
  const rows = [
    ['both', 'both ask for the same'],
    ...(Object.keys(KINDS) as Kind[]).map((kind) => [kind, KINDS[kind]] as const),
  ] as const;
  return (
    <section className="panel" aria-labelledby="compared">
      <h2 id="compared">Compared</h2>
      <p>
        {[
          ...rows
            .filter(([kind]) => compared[kind] > 0)
            .map(([kind, text]) => `${compared[kind].toLocaleString()} times ${text}`),
          ...(open > 0 ? [`${open.toLocaleString()} not settled yet`] : []),
        ].join('; ') || 'Neither has acted yet.'}
      </p>
      {byRule.length > 0 && (
        <Table
          label="Compared by rule"
          items={byRule}
          keyOf={({ rule }) => rule}
          columns={[
            { title: 'Rule', cell: ({ rule }) => <span className="mono">{rule}</span> },
            { title: 'Both', isNumber: true, cell: ({ both }) => both.toLocaleString() },
            { title: 'Only shadow', isNumber: true, cell: ({ shadowOnly }) => shadowOnly.toLocaleString() },
            { title: 'Only in force', isNumber: true, cell: ({ liveOnly }) => liveOnly.toLocaleString() },
            { title: 'Stronger', isNumber: true, cell: ({ stronger }) => stronger.toLocaleString() },
            { title: 'Weaker', isNumber: true, cell: ({ weaker }) => weaker.toLocaleString() },
            { title: 'Not settled', isNumber: true, cell: ({ open: waiting }) => waiting.toLocaleString() },
          ]}
        />
      )}
    </section>
  );
}

function Differences() {
  const [query, change] = useQuery();
  const href = useHref();
  const kind = (query['kind'] || undefined) as Kind | undefined;
  const list = useServerQuery({
    queryKey: ['shadow', 'differences', kind],
    queryFn: () =>
      answered(api.GET('/api/v1/rules/shadow/differences', { params: { query: { kind, limit: '100' } } })),
    refetchInterval: 10_000,
  });
  return (
    <section aria-labelledby="differences">
      <div className="head">
        <h2 id="differences">Newest differences</h2>
      </div>
      <div className="filters">
        <Choice
          label="Kind"
          name="kind"
          value={query['kind'] ?? ''}
          onChange={(event) => change({ kind: event.target.value })}
          options={[['', 'All'], ...Object.entries(KINDS)]}
        />
      </div>
      {list.isError && <Failure error={list.error} retry={() => void list.refetch()} />}
      {list.data?.items.length === 0 && <p className="quiet">There is none.</p>}
      {list.data !== undefined && list.data.items.length > 0 && (
        <Table
          label="Differences"
          items={list.data.items}
          keyOf={({ number }) => `${number}`}
          columns={[
            { title: 'Sender', cell: ({ subject }) => <SubjectLink subject={subject} /> },
            { title: 'When', cell: ({ live, shadow }) => <Time at={(shadow ?? live)?.at} /> },
            { title: 'What', cell: ({ kind: is, settled }) => `${KINDS[is]}${settled ? '' : ' (so far)'}` },
            { title: 'Why', cell: ({ sentence }) => sentence },
            {
              title: 'Block',
              cell: ({ block, falsePositive }) => (
                <>
                  {block === null ? '–' : <a href={`#${href(blockPath(block))}`}>see it</a>}
                  {falsePositive && ' a false positive'}
                </>
              ),
            },
          ]}
        />
      )}
      {list.data !== undefined && list.data.next !== null && (
        <p className="quiet">The newest 100 are shown.</p>
      )}
    </section>
  );
}

function PromoteDialog({
  shadow,
  inForce,
  close,
}: {
  shadow: Shadow;
  inForce: Rules | undefined;
  close: () => void;
}) {
  const refresh = useRefreshRules();
  return (
    <Dialog title="Put the shadow rules in force?" close={close}>
      <p>
        Every process follows them from now on, with what they have counted. Blocks that are in force stay.
      </p>
      {inForce !== undefined && <Diff label="What changes" before={inForce.source} after={shadow.source} />}
      <Form
        action="Put in force"
        danger
        cancel={close}
        send={async () => {
          const header = { 'If-Match': `"${shadow.version}.${shadow.inForce}"` };
          const { version } = await answered(
            api.POST('/api/v1/rules/shadow/promote', { params: { header } }),
          );
          refresh();
          note(`Version ${version} of the rules is in force.`);
          close();
        }}
      >
        {() => null}
      </Form>
    </Dialog>
  );
}

function RemoveDialog({ close }: { close: () => void }) {
  const refresh = useRefreshRules();
  return (
    <Dialog title="Remove the shadow rules?" close={close}>
      <p>Their comparison with the rules in force is gone then.</p>
      <Form
        action="Remove"
        danger
        cancel={close}
        send={async () => {
          await answered(api.DELETE('/api/v1/rules/shadow'));
          refresh();
          note('Removed the shadow rules.');
          close();
        }}
      >
        {() => null}
      </Form>
    </Dialog>
  );
}
