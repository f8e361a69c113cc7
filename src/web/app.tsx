import { useQuery, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Suspense, useEffect } from 'react';
import { Redirect, Route, Switch, useLocation } from 'wouter';
import type { Who } from './api.js';
import { answered, api, ApiError } from './api.js';
import { Frame } from './frame.js';
import { follow } from './live.js';
import { later } from './parts/later.js';
import { Notes } from './parts/notes.js';
import { Empty, Failure } from './parts/states.js';
import { decoded } from './route.js';
import { BlockScreen } from './screens/block.js';
import { BlocksScreen } from './screens/blocks.js';
import { ChangesScreen } from './screens/changes.js';
import { ExemptionsScreen } from './screens/exemptions.js';
import { NoticesScreen } from './screens/notices.js';
import { OverviewScreen } from './screens/overview.js';
import { PeopleScreen } from './screens/people.js';
import { ProposalsScreen } from './screens/proposals.js';
import { SenderScreen } from './screens/sender.js';
import { forgetSeen, isLink, SignInScreen } from './screens/sign-in.js';
import { CountedFromThen } from './time.js';
import { useRights, WhoContext } from './who.js';

/** What few ask for often: the first load is without it. */
const ApiScreen = later(() => import('./screens/api.js'), 'ApiScreen');
const StorageScreen = later(() => import('./screens/storage.js'), 'StorageScreen');
const RulesScreen = later(() => import('./screens/rules.js'), 'RulesScreen');

export function App() {
  const client = useQueryClient();
  const session = useQuery({
    queryKey: ['session'],
    queryFn: async () => {
      const who = await answered(api.GET('/api/v1/session'));
      // Somebody else has signed in in another tab: nothing that the one before has seen stays.
      const before = client.getQueryData<Who>(['session']);
      if (before !== undefined && personOf(before) !== personOf(who)) forgetSeen(client);
      return who;
    },
    refetchInterval: ({ state: { error } }) => (isStarting(error) ? 2000 : false),
  });
  const { error } = session;
  const [path] = useLocation();
  // A link is for who opens it, also where somebody else has signed in.
  if (isLink(path)) return <SignInScreen />;
  if (error instanceof ApiError && error.status === 401) return <SignInScreen />;
  if (session.data !== undefined) return <SignedIn key={personOf(session.data)} who={session.data} />;
  if (isStarting(error)) return <Waiting title="Stopgap is starting" detail={error!.message} />;
  if (error !== null)
    return (
      <main className="alone">
        <Failure error={error} retry={() => void session.refetch()} />
      </main>
    );
  return <Waiting title="" detail="" />;
}

/** Who sees the same: a person with the same rights. */
function personOf({ name, by, role, domains }: Who): string {
  return [name, by, role, ...domains].join('\n');
}

function isStarting(error: Error | null): boolean {
  return error instanceof ApiError && error.status === 503;
}

function Waiting({ title, detail }: { title: string; detail: string }) {
  return (
    <main className="alone" aria-busy="true">
      {title !== '' && <h1>{title}</h1>}
      <p className="quiet">{detail}</p>
    </main>
  );
}

function SignedIn({ who }: { who: Who }) {
  const client = useQueryClient();
  useEffect(() => follow(client), [client]);
  return (
    <WhoContext value={who}>
      <Frame>
        <Suspense fallback={<p className="quiet loading">Loading…</p>}>
          <Switch>
            <Route path="/" component={OverviewScreen} />
            <Route path="/proposals/:id?">
              {({ id }) => (
                <CountedFromThen>
                  <ProposalsScreen id={id} />
                </CountedFromThen>
              )}
            </Route>
            <Route path="/blocks">
              <CountedFromThen>
                <BlocksScreen />
              </CountedFromThen>
            </Route>
            <Route path="/blocks/:id">{({ id }) => <BlockScreen key={id} id={id} />}</Route>
            <Route path="/senders/:type/:value">
              {({ type, value }) => (
                <CountedFromThen key={`${type} ${value}`}>
                  <SenderScreen type={type} value={decoded(value)} />
                </CountedFromThen>
              )}
            </Route>
            <Route path="/rules">
              <OfTheServer>
                <RulesScreen />
              </OfTheServer>
            </Route>
            <Route path="/exemptions" component={ExemptionsScreen} />
            <Route path="/notices">
              <OfTheServer>
                <NoticesScreen />
              </OfTheServer>
            </Route>
            <Route path="/people" component={PeopleScreen} />
            <Route path="/changes" component={ChangesScreen} />
            <Route path="/storage" component={StorageScreen} />
            <Route path="/api" component={ApiScreen} />
            <Route path="/sign-in">
              <Redirect to="/" replace />
            </Route>
            <Route>
              <Empty title="There is no such place here">
                <a href="#/">Go to the overview</a>
              </Empty>
            </Route>
          </Switch>
        </Suspense>
      </Frame>
      <Notes />
    </WhoContext>
  );
}

/** What an administrator of domains comes to by a link only. */
function OfTheServer({ children }: { children: ReactNode }) {
  if (useRights().seesServer) return children;
  return (
    <Empty title="This is for those who run the server">
      <p>Ask them about it. What concerns your domains is under Proposals, Blocks and Changes.</p>
      <a href="#/">Go to the overview</a>
    </Empty>
  );
}
