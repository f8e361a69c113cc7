import { useQuery as useServerQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { Session } from '../api.js';
import { answered, api } from '../api.js';
import { OnlyNow } from '../parts/choices.js';
import { fault, note } from '../parts/notes.js';
import { Loaded } from '../parts/states.js';
import { Table } from '../parts/table.js';
import { useAt } from '../route.js';
import { Time } from '../time.js';
import { useRights, useWho } from '../who.js';
import { EndSecondFactorDialog, PasswordDialog, SecondFactorDialog } from './account.js';
import { PasskeysPart } from './passkeys.js';
import { PeoplePart, ROLES } from './people-list.js';

const HOW: Readonly<Record<string, string>> = {
  proxy: 'A proxy in front signs you in: your password is kept there.',
  openid: 'Your provider signs you in: your password is kept there.',
  evaluation: 'You try Stopgap out, without a password.',
  token: 'You ask with a token.',
};

/** The own account, who is signed in, and for administrators who may. */
export function PeopleScreen() {
  const { administers } = useRights();
  const at = useAt();
  return (
    <>
      <h1>People</h1>
      {at !== undefined && <OnlyNow what="People and sessions" path="/people" />}
      <Account isNow={at === undefined} />
      {administers && <PeoplePart isNow={at === undefined} />}
      <Sessions isNow={at === undefined} />
    </>
  );
}

function Account({ isNow }: { isNow: boolean }) {
  const who = useWho();
  const [dialog, setDialog] = useState<'password' | 'start' | 'end'>();
  const close = (): void => setDialog(undefined);
  const isOwn = who.by === 'password' || who.by === 'passkey';
  return (
    <section className="panel" aria-labelledby="own">
      <h2 id="own">You</h2>
      <dl className="facts">
        <div>
          <dt>Name</dt>
          <dd>{who.name}</dd>
        </div>
        <div>
          <dt>Role</dt>
          <dd>
            {ROLES[who.role]}
            {who.domains.length > 0 && ` (${who.domains.join(', ')})`}
          </dd>
        </div>
        {isOwn ? (
          <>
            <div>
              <dt>Password</dt>
              <dd>
                {isNow && (
                  <button type="button" onClick={() => setDialog('password')}>
                    Change the password
                  </button>
                )}
              </dd>
            </div>
            <div>
              <dt>Second factor</dt>
              <dd className="line">
                {who.secondFactor ? (
                  <span className="tag tag-good">on</span>
                ) : (
                  <span className="tag tag-warn">off: the password alone is enough</span>
                )}
                {isNow && (
                  <button type="button" onClick={() => setDialog(who.secondFactor ? 'end' : 'start')}>
                    {who.secondFactor ? 'Turn it off' : 'Set it up'}
                  </button>
                )}
              </dd>
            </div>
            <PasskeysPart isNow={isNow} />
          </>
        ) : (
          <div>
            <dt>Sign-in</dt>
            <dd>{HOW[who.by]}</dd>
          </div>
        )}
      </dl>
      {dialog === 'password' && <PasswordDialog close={close} />}
      {dialog === 'start' && <SecondFactorDialog close={close} />}
      {dialog === 'end' && <EndSecondFactorDialog close={close} />}
    </section>
  );
}

/** Who is signed in, and from where. */
function Sessions({ isNow }: { isNow: boolean }) {
  const { administers } = useRights();
  const client = useQueryClient();
  const sessions = useServerQuery({
    queryKey: ['sessions'],
    queryFn: () => answered(api.GET('/api/v1/sessions')),
    refetchInterval: 30_000,
  });
  const revoke = async ({ id, name }: Session): Promise<void> => {
    await answered(api.DELETE('/api/v1/sessions/{id}', { params: { path: { id } } }));
    for (const key of ['sessions', 'people']) void client.invalidateQueries({ queryKey: [key] });
    note(`Ended a session of ${name}. They can sign in again.`);
  };
  return (
    <section aria-labelledby="sessions">
      <div className="head">
        <h2 id="sessions">{administers ? 'Sessions' : 'Your sessions'}</h2>
      </div>
      <Loaded query={sessions}>
        {({ items }) =>
          items.length === 0 ? (
            <p className="quiet">Nobody has a session.</p>
          ) : (
            <Table
              label={administers ? 'Sessions' : 'Your sessions'}
              items={items}
              keyOf={({ id }) => id}
              columns={[
                ...(administers ? [{ title: 'Who', cell: ({ name }: Session) => name }] : []),
                { title: 'From', cell: ({ network }) => <span className="mono">{network}</span> },
                { title: 'Signed in', cell: ({ since }) => <Time at={since} /> },
                { title: 'Last used', cell: ({ usedAt }) => <Time at={usedAt} as="ago" /> },
                {
                  title: 'Ends in',
                  cell: ({ until, idleUntil }) => (
                    <>
                      <Time at={idleUntil < until ? idleUntil : until} as="left" />
                      {idleUntil < until && ' if not used'}
                    </>
                  ),
                },
                {
                  title: 'Actions',
                  cell: (session) =>
                    session.current ? (
                      <span className="tag">this one</span>
                    ) : (
                      isNow && (
                        <button
                          type="button"
                          aria-label={`End it: the session of ${session.name} from ${session.network}`}
                          onClick={() => void revoke(session).catch(fault)}
                        >
                          End it
                        </button>
                      )
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </section>
  );
}
