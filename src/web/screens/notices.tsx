import { useQuery as useServerQuery, useQueryClient } from '@tanstack/react-query';
import type { Schemas } from '../api.js';
import { answered, api } from '../api.js';
import { OnlyNow } from '../parts/choices.js';
import { fault, note } from '../parts/notes.js';
import { Empty, Loaded } from '../parts/states.js';
import { Table } from '../parts/table.js';
import { useAt } from '../route.js';
import { Time } from '../time.js';
import { useRights } from '../who.js';

type Channel = Schemas['NoticeChannel'];
type Notice = Schemas['Notice'];

const TYPES: Readonly<Record<Channel['type'], string>> = {
  webhook: 'Webhook',
  slack: 'Slack',
  teams: 'Teams',
  ntfy: 'ntfy',
  matrix: 'Matrix',
  mail: 'E-mail',
};

const EVENTS: Readonly<Record<Channel['events'][number], string>> = {
  proposed: 'proposals',
  imposed: 'new blocks',
  approved: 'approved proposals',
  dismissed: 'dismissed proposals',
  released: 'releases',
  expired: 'blocks that ran out',
  lapsed: 'proposals that lapsed',
  breaker: 'the circuit breaker',
};

/** Where word is sent to, and whether it arrives. */
export function NoticesScreen() {
  const at = useAt();
  const list = useServerQuery({
    queryKey: ['notices'],
    queryFn: () => answered(api.GET('/api/v1/notices')),
    // Deliveries are no events of the feed.
    refetchInterval: ({ state: { data } }) =>
      data?.channels.some(({ waiting }) => waiting > 0) === true ? 2000 : 20_000,
  });
  return (
    <>
      <h1>Notices</h1>
      {at !== undefined && <OnlyNow what="Notices" path="/notices" />}
      <Loaded query={list}>
        {({ channels }) =>
          channels.length === 0 ? (
            <Empty title="Nobody is told">
              <p>
                When a block is proposed or imposed, or the circuit breaker opens, Stopgap can tell a channel:
                a webhook, Slack, Teams, ntfy, Matrix or e-mail.
              </p>
              <p>
                Add one to the server’s configuration under <code>notices.channels</code>, and start it again.
                The documentation has a block to copy for each kind: <code>docs/run/notices.md</code>
              </p>
            </Empty>
          ) : (
            channels.map((channel) => (
              <ChannelPanel key={channel.name} channel={channel} isNow={at === undefined} />
            ))
          )
        }
      </Loaded>
    </>
  );
}

function ChannelPanel({ channel, isNow }: { channel: Channel; isNow: boolean }) {
  const { operates } = useRights();
  const client = useQueryClient();
  const { name, type, events, notices } = channel;
  const id = `channel-${name}`;
  const test = async (): Promise<void> => {
    const answer = await answered(api.POST('/api/v1/notices/test', { body: { channel: name } }));
    if ('wouldSay' in answer) {
      note(`Nothing was sent: ${name} tells owners alone. It would say: ${answer.wouldSay}`, {
        shown: 60_000,
      });
      return;
    }
    void client.invalidateQueries({ queryKey: ['notices'] });
    note(`A test is on its way to ${name}. Below is what becomes of it.`);
  };
  const resend = async ({ id: notice, title }: Notice): Promise<void> => {
    await answered(api.POST('/api/v1/notices/{id}/resend', { params: { path: { id: notice } } }));
    void client.invalidateQueries({ queryKey: ['notices'] });
    note(`Sends again: ${title}`);
  };
  const canAct = operates && isNow;
  return (
    <section className="panel" aria-labelledby={id}>
      <div className="head">
        <h2 id={id} className="line">
          {name} <span className="tag">{TYPES[type]}</span> <Standing channel={channel} />
        </h2>
        {canAct && (
          <button
            type="button"
            aria-label={`Send a test to ${name}`}
            onClick={() => void test().catch(fault)}
          >
            Send a test
          </button>
        )}
      </div>
      <p className="quiet">Is told of {events.map((event) => EVENTS[event]).join(', ')}</p>
      {notices.length === 0 ? (
        <p className="quiet">Nothing was sent yet.</p>
      ) : (
        <Table
          label={`Newest notices to ${name}`}
          items={notices}
          keyOf={(one) => one.id}
          columns={[
            { title: 'When', cell: (one) => <Time at={one.at} /> },
            { title: 'What', cell: ({ title, to }) => <NoticeTitle title={title} to={to} /> },
            { title: 'State', cell: (one) => <NoticeState notice={one} /> },
            ...(canAct
              ? [
                  {
                    title: 'Actions',
                    cell: (one: Notice) =>
                      one.state === 'dead' && (
                        <button
                          type="button"
                          aria-label={`Resend ${one.title}`}
                          onClick={() => void resend(one).catch(fault)}
                        >
                          Resend
                        </button>
                      ),
                  },
                ]
              : []),
          ]}
        />
      )}
    </section>
  );
}

function Standing({ channel }: { channel: Channel }) {
  const { disabled, stuck, waiting, gathered, gatheredUntil, dead, notices } = channel;
  if (disabled) return <span className="tag tag-bad">off: its receiver wants no more</span>;
  return (
    <>
      {stuck > 0 && (
        <span className="tag tag-bad">
          {stuck} {stuck === 1 ? 'receiver takes' : 'receivers take'} nothing, what happens gathers
        </span>
      )}
      {dead > 0 && <span className="tag tag-bad">{dead} given up</span>}
      {waiting > 0 && <span className="tag tag-warn">{waiting} waiting</span>}
      {gathered !== null && gathered > 0 && gatheredUntil !== null && (
        <span className="tag">
          {gathered} {gathered === 1 ? 'event is' : 'events are'} told at <Time at={gatheredUntil} />
        </span>
      )}
      {dead === 0 && waiting === 0 && notices.length > 0 && <span className="tag tag-good">works</span>}
    </>
  );
}

function NoticeTitle({ title, to }: Pick<Notice, 'title' | 'to'>) {
  return (
    <>
      {title}
      {to !== null && <span className="below">to {to}</span>}
    </>
  );
}

function NoticeState({ notice: { state, attempts, nextAt, error } }: { notice: Notice }) {
  const tries = `${attempts} ${attempts === 1 ? 'attempt' : 'attempts'}`;
  return (
    <>
      {state === 'delivered' && <span className="tag tag-good">delivered</span>}
      {state === 'sending' && <span className="tag">is being sent</span>}
      {state === 'waiting' && (
        <>
          <span className="tag tag-warn">waits</span>{' '}
          {nextAt !== null && attempts > 0 && (
            <>
              after {tries}, again in <Time at={nextAt} as="left" />
            </>
          )}
        </>
      )}
      {state === 'dead' && (
        <>
          <span className="tag tag-bad">given up</span> after {tries}
        </>
      )}
      {error !== null && state !== 'delivered' && <span className="below">{error}</span>}
    </>
  );
}
