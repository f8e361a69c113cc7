import type { QueryClient } from '@tanstack/react-query';
import { useQuery as useServerQuery, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useState } from 'react';
import { useLocation } from 'wouter';
import type { Block, Who } from '../api.js';
import { answered, api, ApiError, urlOf } from '../api.js';
import icon from '../favicon.svg';
import { subjectName } from '../parts/blocks.js';
import type { Values } from '../parts/forms.js';
import { Check, Field, Form } from '../parts/forms.js';
import { clearNotes, note } from '../parts/notes.js';
import { hasPasskeys, signInByPasskey } from '../parts/passkey.js';
import { dropPending } from '../parts/pending.js';
import { Failure } from '../parts/states.js';
import { navigate, useQuery } from '../route.js';
import { RULES_DRAFT } from '../who.js';

/** Why an OpenID provider let nobody in, by the code that the server gives. */
const ERRORS: Readonly<Record<string, string>> = {
  denied: 'The provider did not let you in.',
  expired: 'That took too long, or came back twice. Try again.',
  invalid: 'What the provider said is not believed. Try again; if it stays so, tell an administrator.',
  'no-role': 'You have signed in there, but no group of yours has a role here. Ask an administrator.',
  name: 'The provider gives no name for you that can be used here. Ask an administrator.',
  'name-taken':
    'Your name here is that of a person with a password, of a token, or of somebody else who is signed in. Ask an administrator.',
  provider: 'The provider reports an error. Try again later.',
  'too-many': 'There were too many attempts. Wait a minute, then try again.',
  unreachable: 'The provider does not answer. Try again, or sign in with a password.',
  unavailable: 'Stopgap cannot sign anybody in just now. Try again in a moment.',
};

/** Whether a place is one of those that sign in by a link. */
export const isLink = (path: string): boolean => /^\/(?:first|link)\/./.test(path);

/** Nothing that somebody else has seen or begun here stays. @returns of what a dismissal was begun and is given up */
export function forgetSeen(client: QueryClient): readonly Block[] {
  const dropped = dropPending();
  clearNotes();
  sessionStorage.removeItem(RULES_DRAFT);
  client.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'session' });
  return dropped;
}

export function SignInScreen() {
  const client = useQueryClient();
  const [path] = useLocation();
  const [, place, token = ''] = path.split('/');
  const enter = (who: Who): void => {
    const before = client.getQueryData<Who>(['session']);
    const dropped = forgetSeen(client);
    // Nobody else is told what another began.
    if (before?.by === who.by)
      for (const { subject } of dropped)
        note(`The proposal for ${subjectName(subject)} was not dismissed: your session had ended before.`, {
          isFault: true,
          shown: 30_000,
        });
    client.setQueryData(['session'], who);
    // What was asked for before is shown, but no link that has been used.
    if (place === 'sign-in' || isLink(path)) navigate('/', { replace: true });
  };
  return (
    <main className="alone">
      <h1>
        <img src={icon} alt="" width="28" height="28" /> Stopgap
      </h1>
      {place === 'first' && token !== '' ? (
        <First token={token} enter={enter} />
      ) : place === 'link' && token !== '' ? (
        <ByLink token={token} enter={enter} />
      ) : (
        <Ways enter={enter} />
      )}
    </main>
  );
}

interface Entering {
  readonly enter: (who: Who) => void;
}

/** The ways to sign in that this server has. */
function Ways({ enter }: Entering) {
  const [{ error }] = useQuery();
  const ways = useServerQuery({
    queryKey: ['sign-in'],
    queryFn: () => answered(api.GET('/api/v1/sign-in')),
  });
  const [isTried, setTried] = useState<Error>();
  const tryIt = (): void => {
    setTried(undefined);
    answered(api.POST('/api/v1/sign-in/evaluation')).then(enter, setTried);
  };
  const { evaluation = false, first = false, openId = null, passkeys = false } = ways.data ?? {};
  return (
    <>
      {error !== undefined && (
        <p className="failure" role="alert">
          {ERRORS[error] ?? 'Signing in with the provider did not work. Try again.'}
        </p>
      )}
      {first && (
        <p className="only-now">
          Nobody has the role admin yet. The server has printed a link when it was started: open it to make
          the first administrator.
        </p>
      )}
      {evaluation && (
        <>
          <button type="button" className="primary wide" onClick={tryIt}>
            Sign in to try it
          </button>
          {isTried !== undefined && <Failure error={isTried} />}
        </>
      )}
      {openId !== null && (
        <a className="button primary wide" href={urlOf('/api/v1/sign-in/openid')}>
          {openId.label}
        </a>
      )}
      {(evaluation || openId !== null) && <p className="or">or with a password</p>}
      <WithCode
        action="Sign in"
        enter={enter}
        send={({ name = '', password = '' }, code) =>
          answered(api.POST('/api/v1/sign-in', { body: { name, password, ...code } }))
        }
      >
        {(fault) => (
          <>
            <Field
              label="Name"
              name="name"
              autoComplete="username"
              required
              autoFocus={!evaluation && openId === null}
              fault={fault('name')}
            />
            <Field
              label="Password"
              name="password"
              type="password"
              autoComplete="current-password"
              required
              fault={fault('password')}
            />
          </>
        )}
      </WithCode>
      {passkeys && hasPasskeys && (
        <>
          <p className="or">or</p>
          <ByPasskey enter={enter} />
        </>
      )}
    </>
  );
}

/** The device knows whose key it has: no name is asked for. */
function ByPasskey({ enter }: Entering) {
  const [error, setError] = useState<Error>();
  const tryIt = (): void => {
    setError(undefined);
    signInByPasskey().then(enter, setError);
  };
  return (
    <>
      <button type="button" className="wide" onClick={tryIt}>
        Sign in with a passkey
      </button>
      {error !== undefined && <Failure error={error} />}
    </>
  );
}

function First({ token, enter }: Entering & { token: string }) {
  return (
    <>
      <h2>Make the first administrator</h2>
      <p>You can then add others, who get a link to choose a password of their own.</p>
      <Form
        action="Make it, and sign in"
        send={async ({ name = '', password = '' }) =>
          enter(await answered(api.POST('/api/v1/sign-in/first', { body: { token, name, password } })))
        }
      >
        {(fault) => (
          <>
            <Field
              label="Name"
              name="name"
              autoComplete="username"
              autoFocus
              fault={fault('name')}
              hint="It shows beside what you decide."
            />
            <NewPassword name="password" label="Password" fault={fault('password')} />
          </>
        )}
      </Form>
    </>
  );
}

function ByLink({ token, enter }: Entering & { token: string }) {
  return (
    <>
      <h2>Choose a password</h2>
      <WithCode
        action="Set it, and sign in"
        enter={enter}
        send={({ password = '' }, code) =>
          answered(api.POST('/api/v1/sign-in/link', { body: { token, password, ...code } }))
        }
      >
        {(fault) => <NewPassword name="password" label="Password" fault={fault('password')} autoFocus />}
      </WithCode>
      <p className="quiet">
        The link works once. <a href="#/">I have a password already</a>
      </p>
    </>
  );
}

/** A password that is chosen, and can be seen: nobody has to type it twice. */
export function NewPassword({
  name,
  label,
  fault,
  autoFocus,
}: {
  name: string;
  label: string;
  fault: string | undefined;
  autoFocus?: boolean;
}) {
  const [isShown, show] = useState(false);
  return (
    <>
      <Field
        label={label}
        name={name}
        type={isShown ? 'text' : 'password'}
        autoComplete="new-password"
        spellCheck={false}
        autoFocus={autoFocus}
        fault={fault}
        hint="12 characters at least. A few random words are good."
      />
      <Check label="Show it" name="shown" checked={isShown} onChange={() => show(!isShown)} />
    </>
  );
}

/** A form that asks for the code of the second factor once the server wants one. */
function WithCode({
  action,
  send,
  enter,
  children,
}: Entering & {
  action: string;
  send: (values: Values, code: { code?: string }) => Promise<Who>;
  children: (fault: (field: string) => string | undefined) => ReactNode;
}) {
  const [needsCode, setNeedsCode] = useState(false);
  const enterWith = async (values: Values): Promise<void> => {
    const code = (values['code'] ?? '').replace(/\s/g, '');
    try {
      enter(await send(values, code === '' ? {} : { code }));
    } catch (thrown) {
      if (!needsCode && thrown instanceof ApiError && thrown.problem?.['needs'] === 'code')
        return setNeedsCode(true);
      throw thrown;
    }
  };
  return (
    <Form send={enterWith} action={action}>
      {(fault) => (
        <>
          {children(fault)}
          {needsCode && (
            <Field
              label="Code of your authenticator, or a recovery code"
              name="code"
              autoComplete="one-time-code"
              autoFocus
              fault={fault('code')}
            />
          )}
        </>
      )}
    </Form>
  );
}
