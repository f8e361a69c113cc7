import { useQuery, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useState } from 'react';
import { givenUpText } from '../../kernel/given-up.js';
import type { Block, Schemas } from '../api.js';
import { answered, api } from '../api.js';
import { ReplyTold, subjectName } from '../parts/blocks.js';
import { bytesOf, plural } from '../parts/counted.js';
import { refresh } from '../parts/decisions.js';
import { Dialog } from '../parts/dialog.js';
import { Form, TextField } from '../parts/forms.js';
import type { Values } from '../parts/forms.js';
import { note } from '../parts/notes.js';
import { Loaded } from '../parts/states.js';
import type { TableColumn } from '../parts/table.js';
import { Table } from '../parts/table.js';
import { spanOf, Time } from '../time.js';
import { useAt } from '../route.js';
import { useRights } from '../who.js';

type Report = Schemas['ContainmentReport'];
type Passed = NonNullable<Report['before']>;

/** A report that is still growing is read anew so often, in milliseconds. */
const EVERY = 30_000;

/** What got through, what was stopped, and what clients were told. */
export function BlockReport({ block: { id, state } }: { block: Block }) {
  const query = useQuery({
    queryKey: ['block', id, 'report'],
    queryFn: () =>
      answered(
        api.GET('/api/v1/blocks/{id}/report', { params: { path: { id }, query: { format: 'json' } } }),
      ),
    refetchInterval: state === 'active' || state === 'proposed' ? EVERY : false,
  });
  return (
    <section aria-labelledby="report">
      <h2 id="report">Containment</h2>
      <Loaded query={query}>{(report) => <Sections report={report} />}</Loaded>
    </section>
  );
}

function Sections({ report }: { report: Report }) {
  const { block, onset, before, after, letGo, past, pastWhy } = report;
  const { bounces, stopped, held, coveredUntil, keptSince } = report;
  const isGone = keptSince !== null;
  const through = after.recipients + past.recipients;
  const refusals = stopped.reduce((sum, { refusals: some }) => sum + some, 0);
  const firstStop = stopped.map(({ first }) => first).sort()[0];
  const quiet =
    firstStop === undefined || block.since === null ? 0 : Date.parse(firstStop) - Date.parse(block.since);
  const begun = onset === null ? undefined : Date.parse(onset.at);
  const took = begun === undefined || block.since === null ? undefined : Date.parse(block.since) - begun;
  return (
    <>
      {coveredUntil !== null && (
        <p className="at-notice" role="status">
          There was too much to read: what happened after <Time at={coveredUntil} /> is not counted.
        </p>
      )}
      {keptSince !== null && (
        <p className="at-notice" role="status">
          What was sent and refused before <Time at={keptSince} /> is not kept any more.
        </p>
      )}
      <div className="panels figures">
        {before === null ? (
          <section className="panel">
            <h3>Got through before</h3>
            <p>
              It is not counted what came before a block by hand, or by failed logins, of anything but an
              account.
            </p>
          </section>
        ) : (
          <Figure
            title="Got through before"
            value={isGone && before.recipients === 0 ? null : before.recipients}
            unit={before.recipients === 1 ? 'recipient' : 'recipients'}
          >
            <PassedWords passed={before} />
            <p className="quiet">
              {begun === undefined ? (
                !isGone &&
                `Counted is ${block.evidence === null ? 'the day before' : 'since what the evidence looks at'}.`
              ) : (
                <>
                  It may have begun <Time at={onset!.at} as="second" />
                  {took !== undefined && took >= 0 && `, ${spanOf(took)} before the block`}.
                </>
              )}
            </p>
          </Figure>
        )}
        <Figure
          title="Got through after"
          tone={past.recipients > 0 ? 'panel-bad' : ''}
          value={isGone && through === 0 ? null : through}
          unit={through === 1 ? 'recipient' : 'recipients'}
        >
          <PassedWords passed={after} />
          {block.since === null ? (
            <p className="quiet">It was never in force.</p>
          ) : through === 0 ? (
            !isGone && <p className="quiet">Nothing is known to have got past the block.</p>
          ) : (
            after.recipients > 0 && (
              <p className="quiet">
                These messages were under way when it began
                {letGo && ', or were held and let go'}.
              </p>
            )
          )}
          <PassedWords passed={past} />
          {pastWhy !== null && <p>{pastWhy}</p>}
        </Figure>
        <Figure
          title="Stopped"
          value={isGone && refusals === 0 ? null : refusals}
          unit={refusals === 1 ? 'attempt' : 'attempts'}
        >
          <ul className="plain">
            {stopped.map(({ stage, refusals: some, first, last }) => (
              <li key={stage}>
                {plural(some, 'attempt')} {STAGES[stage]},{' '}
                <span className="quiet">
                  <Between first={first} last={last} />
                </span>
              </li>
            ))}
          </ul>
          {refusals === 0 && !isGone && (
            <p className="quiet">
              {through + held.messages === 0
                ? 'Nothing was tried while it was in force.'
                : 'Nothing was refused.'}
            </p>
          )}
          {quiet >= 1000 && <p className="quiet">The first came {spanOf(quiet)} after it began.</p>}
        </Figure>
        <Held block={block} held={held} />
      </div>
      {bounces > 0 && <p>{plural(bounces, 'message')} came back as undeliverable since it began.</p>}
      <Told report={report} />
      <Sources report={report} />
    </>
  );
}

const STAGES = {
  auth: 'at sign-in',
  rcpt: 'when a recipient was named',
  data: 'after the message was sent',
} as const;

function Figure({
  title,
  value,
  unit,
  tone = '',
  children,
}: {
  title: string;
  tone?: string;
  /** Null: it is not known any more. */
  value: number | null;
  unit: string;
  children: ReactNode;
}) {
  return (
    <section className={`panel ${tone}`}>
      <h3>{title}</h3>
      {value === null ? (
        <p>Not known</p>
      ) : (
        <p>
          <span className="figure">{value.toLocaleString()}</span> {unit}
        </p>
      )}
      {children}
    </section>
  );
}

function PassedWords({ passed }: { passed: Passed }) {
  const { messages, bytes, refusedRecipients, first, last } = passed;
  if (messages === 0) return null;
  return (
    <p>
      in {plural(messages, 'message')} of {bytesOf(bytes)} together
      {refusedRecipients > 0 &&
        `; ${plural(refusedRecipients, 'more recipient was', 'more recipients were')} refused by the mail server behind`}
      {first !== null && last !== null && (
        <span className="quiet">
          , <Between first={first} last={last} />
        </span>
      )}
    </p>
  );
}

function Between({ first, last }: { first: string; last: string }) {
  if (Date.parse(last) - Date.parse(first) < 1000) return <Time at={first} as="second" />;
  return (
    <>
      from <Time at={first} as="second" /> to <Time at={last} as="second" />
    </>
  );
}

function Held({ block, held }: { block: Block; held: Report['held'] }) {
  const { decides } = useRights();
  const at = useAt();
  const [action, setAction] = useState<'release' | 'delete'>();
  if (held.messages === 0 && held.unheld === 0) return null;
  const canDecide = held.waiting > 0 && decides && at === undefined;
  const givenUp = givenUpText(block.history, held.waiting);
  const { released, deleted, waiting } = held.elsewhere;
  const there = Object.entries({ released, deleted, 'still held': waiting })
    .flatMap(([what, count]) => (count === 0 ? [] : [`${count} ${what}`]))
    .join(', ');
  return (
    <Figure title="Held" value={held.messages} unit={held.messages === 1 ? 'message' : 'messages'}>
      {held.messages > 0 && (
        <p>
          for {plural(held.recipients, 'recipient')}; {plural(held.waiting, 'message')}{' '}
          {held.waiting === 1 ? 'is' : 'are'} {givenUp === '' ? 'still held' : 'listed as held'} for this
          block{givenUp === '' ? '' : `: ${givenUp}`}.
        </p>
      )}
      {held.decided !== null && (
        <p>
          {held.decided.count} of these {held.decided.count === 1 ? 'is' : 'are'} to be{' '}
          {held.decided.action === 'release' ? 'delivered' : 'deleted'}, and no hook has done it
          {held.decided.failed && ': it was given up'}.
        </p>
      )}
      {held.sentOn > 0 && (
        <p>
          {plural(held.sentOn, 'message')} of these {held.sentOn === 1 ? 'was' : 'were'} sent while the block
          was in force, as a mail server has reported.
          {held.waiting > 0 &&
            ' What was let go by hand is listed as held until the hook has released or deleted it.'}
        </p>
      )}
      {held.moved > 0 && (
        <p>
          {plural(held.moved, 'message')} stayed on hold for other blocks of the sender: what becomes of that
          mail is decided there{there === '' ? '' : ` (${there})`}.
        </p>
      )}
      {held.unheld > 0 && (
        <p>Mail that could not be held was refused {plural(held.unheld, 'time')}: it has to be sent again.</p>
      )}
      {held.full > 0 && (
        <p>
          {plural(held.full, 'time')} that was since the block held as much as one may (1,000 messages or 1
          GiB): decide on what is held, and there is room again.
        </p>
      )}
      {held.queued > 0 && (
        <p className="quiet">
          {plural(held.queued, 'message')} of these, found in the queue, got through before: some recipients
          may have it.
        </p>
      )}
      {canDecide && held.others && (
        <p className="quiet">An operator decides on it: mail of other domains is held too.</p>
      )}
      {canDecide && !held.others && (
        <p className="line">
          <button type="button" onClick={() => setAction('release')}>
            Deliver it
          </button>
          <button type="button" onClick={() => setAction('delete')}>
            Delete it…
          </button>
        </p>
      )}
      {action !== undefined && (
        <HeldDialog block={block} action={action} waiting={held.waiting} close={() => setAction(undefined)} />
      )}
    </Figure>
  );
}

function HeldDialog({
  block,
  action,
  waiting,
  close,
}: {
  block: Block;
  action: 'release' | 'delete';
  waiting: number;
  close: () => void;
}) {
  const client = useQueryClient();
  const messages = plural(waiting, 'held message');
  if (waiting === 0)
    return (
      <Dialog title="Somebody has decided on this mail meanwhile" close={close}>
        <p>Nothing is held any more. The history says who decided what.</p>
        <button type="button" onClick={close}>
          Close
        </button>
      </Dialog>
    );
  const verb = action === 'release' ? 'Deliver' : 'Delete';
  const send = async ({ note: text = '' }: Values): Promise<void> => {
    const body = { action, ...(text.trim() === '' ? {} : { note: text.trim() }) };
    await answered(api.POST('/api/v1/blocks/{id}/held', { params: { path: { id: block.id } }, body }));
    refresh(client);
    note(
      `${messages} ${waiting === 1 ? 'is' : 'are'} to be ${action === 'release' ? 'delivered' : 'deleted'}. The history says when it is done.`,
    );
    close();
  };
  return (
    <Dialog title={`${verb} ${messages} of ${subjectName(block.subject)}`} close={close}>
      <p>
        {action === 'release'
          ? 'It goes on to its recipients, unless another block refuses its sender: then it stays on hold for that one. That cannot be taken back.'
          : 'It is gone then. That cannot be taken back, and nobody is told.'}
      </p>
      <Form send={send} action={`${verb} it`} danger={action === 'delete'} cancel={close}>
        {(of) => <TextField label="Note (for your colleagues)" name="note" fault={of('note')} />}
      </Form>
    </Dialog>
  );
}

const TOLD: readonly TableColumn<Report['told'][number]>[] = [
  { title: 'Reply', cell: ({ reply }) => <ReplyTold reply={reply} /> },
  { title: 'Stage', cell: ({ stage }) => STAGES[stage] },
  { title: 'Times', isNumber: true, cell: ({ refusals }) => refusals.toLocaleString() },
  { title: 'First', cell: ({ first }) => <Time at={first} as="second" /> },
  { title: 'Last', cell: ({ last }) => <Time at={last} as="second" /> },
];

const SOURCES: readonly TableColumn<Report['sources'][number]>[] = [
  { title: 'IP address', cell: ({ ip }) => <span className="mono">{ip}</span> },
  { title: 'Messages', isNumber: true, cell: ({ messages }) => messages.toLocaleString() },
  { title: 'Recipients', isNumber: true, cell: ({ recipients }) => recipients.toLocaleString() },
];

/** The deception ledger: what clients heard, and when. */
function Told({ report: { told, otherReplies } }: { report: Report }) {
  if (told.length === 0) return null;
  return (
    <section className="panel">
      <h3>What clients were told</h3>
      <Table
        label="What clients were told"
        items={told}
        keyOf={({ stage, reply }) => `${stage} ${reply}`}
        columns={TOLD}
      />
      {otherReplies > 0 && <p className="quiet">and {plural(otherReplies, 'refusal')} with other replies</p>}
    </section>
  );
}

function Sources({ report: { sources, otherSources } }: { report: Report }) {
  if (sources.length === 0) return null;
  return (
    <section className="panel">
      <h3>From where it came</h3>
      <Table label="From where it came" items={sources} keyOf={({ ip }) => ip} columns={SOURCES} />
      {otherSources > 0 && (
        <p className="quiet">and {plural(otherSources, 'other address', 'other addresses')}</p>
      )}
    </section>
  );
}
