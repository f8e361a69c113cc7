import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { actorName } from '../../kernel/actor.js';
import type { Schemas, Subject } from '../api.js';
import { answered, api } from '../api.js';
import { subjectName } from '../parts/blocks.js';
import { refresh } from '../parts/decisions.js';
import { fault, note } from '../parts/notes.js';
import { Share } from '../parts/share.js';
import { Loaded } from '../parts/states.js';
import type { TableColumn } from '../parts/table.js';
import { Table } from '../parts/table.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';
import type { Override } from './sender-dialogs.js';
import { again, LimitsDialog, removeLimits } from './sender-dialogs.js';

export type Window = Schemas['Window'];

const COUNTS: Readonly<Record<string, string>> = {
  refusedRecipients: 'refused recipients',
  authFailures: 'failed logins',
  returnPaths: 'return paths',
  ehlos: 'EHLO names',
  asns: 'providers',
};

export const countsOf = ({ count, window, leaveOut }: Window): string => {
  const besides =
    leaveOut === undefined ? '' : `, without the ${leaveOut === 1 ? 'largest' : `${leaveOut} largest`}`;
  return `${COUNTS[count] ?? count} in ${window}${besides}`;
};

export const shareOf = ({ observed, limit }: Window): number => (limit > 0 ? observed / limit : 0);

/** How much each rule has counted, against the limit that holds for this sender. */
export function Windows({ subject, windows }: { subject: Subject; windows: readonly Window[] }) {
  const hasOwn = subject.type === 'account' || subject.type === 'domain';
  // What can trip comes first, the closest at the top.
  const sorted = [...windows].sort(
    (a, b) => Number(b.applies) - Number(a.applies) || shareOf(b) - shareOf(a),
  );
  const counting = sorted.filter(({ applies, observed }) => applies && observed > 0);
  const others = sorted.filter((window) => !counting.includes(window));
  return (
    <section className="panel">
      <h2>Limits</h2>
      {sorted.length === 0 ? (
        <p className="quiet">No rule counts what this sends.</p>
      ) : (
        <>
          {counting.length === 0 ? (
            <p className="quiet">Nothing has been counted lately.</p>
          ) : (
            <WindowTable label="Limits" windows={counting} />
          )}
          {others.length > 0 && (
            <details>
              <summary>
                {others.length} {counting.length === 0 ? '' : 'more '}
                {others.length === 1 ? 'rule that counts' : 'rules that count'} nothing now, or cannot trip
              </summary>
              <WindowTable label="Limits that cannot be reached now" windows={others} />
            </details>
          )}
        </>
      )}
      {hasOwn && <OwnLimits subject={subject} windows={sorted} />}
    </section>
  );
}

const COLUMNS: readonly TableColumn<Window>[] = [
  {
    title: 'Rule',
    cell: (window) => (
      <>
        <span className="mono">{window.rule}</span> <span className="quiet">{countsOf(window)}</span>
      </>
    ),
  },
  {
    title: 'Now',
    isNumber: true,
    cell: ({ observed, sinceTrip }) => (
      <>
        {observed.toLocaleString()}
        {sinceTrip !== null && sinceTrip !== observed && (
          <div className="quiet">{sinceTrip.toLocaleString()} since it tripped</div>
        )}
      </>
    ),
  },
  { title: 'Limit', isNumber: true, cell: ({ limit }) => limit.toLocaleString() },
  { title: 'Of it', isNumber: true, cell: (window) => <Share share={shareOf(window)} /> },
  {
    title: 'Does it apply?',
    cell: ({ applies, reason, besides, outbreak }) => (
      <>
        {applies ? 'yes' : 'no'}
        <span className="quiet">
          {reason !== null && `: it ${reason}`}
          {besides.length > 0 && `, if besides ${besides.join(', ')}`}
          {outbreak !== undefined &&
            `; ${outbreak.accounts} of more than ${outbreak.limit} accounts of ${outbreak.domain} have turned`}
        </span>
      </>
    ),
  },
];

function WindowTable({ label, windows }: { label: string; windows: readonly Window[] }) {
  return (
    <Table
      label={label}
      items={windows}
      keyOf={({ rule, window }) => `${rule} ${window}`}
      columns={COLUMNS}
    />
  );
}

function OwnLimits({ subject, windows }: { subject: Subject; windows: readonly Window[] }) {
  const { operates } = useRights();
  const client = useQueryClient();
  const [isOpen, setOpen] = useState(false);
  const { value } = subject;
  const type = subject.type as 'account' | 'domain';
  const path = { type, value };
  const query = useQuery({
    queryKey: ['overrides', type, value],
    queryFn: () => answered(api.GET('/api/v1/overrides/{type}/{value}', { params: { path } })),
  });
  const changed = (): void => {
    refresh(client);
    void client.invalidateQueries({ queryKey: ['overrides'] });
  };
  const remove = async ({ api: layer }: Override): Promise<void> => {
    await removeLimits(subject);
    changed();
    const put = async (): Promise<void> => {
      await answered(api.PUT('/api/v1/overrides/{type}/{value}', { params: { path }, body: again(layer!) }));
      changed();
      note(`Set the limits of ${subjectName(subject)} again.`);
    };
    // Limits that are over cannot be set again.
    const undo = layer?.inForce === true ? { undo: () => put() } : {};
    note(`Removed the own limits of ${subjectName(subject)}.`, undo);
  };
  return (
    <>
      <h3 className="spaced">Own limits</h3>
      <Loaded query={query}>
        {(set) => (
          <>
            {set.effective.length === 0 ? (
              <p className="quiet">The rules' own limits hold: nothing else is set.</p>
            ) : (
              <ul className="plain">
                {set.effective.map(({ rule, per, sentence }) => (
                  <li key={`${rule} ${per}`}>
                    <span className="mono">{rule}</span>
                    {type === 'domain' && (per === 'domain' ? ' in all' : ' of each account')}: {sentence}
                  </li>
                ))}
              </ul>
            )}
            {[set.api, set.file].map(
              (layer, index) =>
                layer !== null && (
                  <p className="quiet" key={index}>
                    Set by {index === 0 ? actorName(layer.by) : 'the overrides file'}{' '}
                    <Time at={layer.at} as="ago" />
                    {layer.plan !== null && `, plan ${layer.plan}`}
                    {layer.until !== null && (
                      <>
                        , until <Time at={layer.until} />
                      </>
                    )}
                    {!layer.inForce && ', which is over'}
                    {layer.reason !== null && `: ${layer.reason}`}
                  </p>
                ),
            )}
            {operates && (
              <div className="line">
                <button type="button" onClick={() => setOpen(true)}>
                  Set limits
                </button>
                {set.api !== null && (
                  <button type="button" className="bare" onClick={() => void remove(set).catch(fault)}>
                    Remove own limits
                  </button>
                )}
              </div>
            )}
            {isOpen && (
              <LimitsDialog
                subject={subject}
                set={set}
                rules={rulesOf(windows)}
                close={() => setOpen(false)}
              />
            )}
          </>
        )}
      </Loaded>
    </>
  );
}

const rulesOf = (windows: readonly Window[]) =>
  windows
    .filter(({ outbreak }) => outbreak === undefined)
    .map((window) => ({ rule: window.rule, counts: countsOf(window), limit: window.limit }));
