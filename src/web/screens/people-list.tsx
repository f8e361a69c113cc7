import { useQuery as useServerQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { Who, Schemas } from '../api.js';
import { answered, api } from '../api.js';
import { Dialog } from '../parts/dialog.js';
import type { Values } from '../parts/forms.js';
import { Choice, Field, Form } from '../parts/forms.js';
import { fault, note } from '../parts/notes.js';
import { Loaded } from '../parts/states.js';
import { Table } from '../parts/table.js';
import { Time } from '../time.js';
import { useWho } from '../who.js';

type Person = Schemas['Person'];
/** Mail servers have tokens. */
type PersonRole = Exclude<Person['role'], 'server'>;
type Link = Schemas['PersonLink'];

export const ROLES: Readonly<Record<Who['role'], string>> = {
  viewer: 'Viewer: sees all, changes nothing',
  operator: 'Operator: also blocks, releases, exempts and sets limits',
  admin: 'Administrator: also changes rules and people',
  domain: 'Administrator of domains: decides on blocks of these',
  server: 'A mail server',
};
const CHOICES = (['viewer', 'operator', 'admin', 'domain'] as const).map(
  (role) => [role, ROLES[role]] as const,
);

function usePeople() {
  const client = useQueryClient();
  const refresh = (): void => {
    for (const key of ['people', 'sessions', 'changes']) void client.invalidateQueries({ queryKey: [key] });
  };
  const path = (name: string) => ({ params: { path: { name } } });
  type Edit = { role?: PersonRole; domains?: string[]; disabled?: boolean };
  const change = async (name: string, body: Edit): Promise<void> => {
    await answered(api.PATCH('/api/v1/people/{name}', { ...path(name), body }));
    refresh();
  };

  return {
    change,
    async add({ name = '', ...values }: Values): Promise<{ person: Person; link: Link }> {
      const added = await answered(api.POST('/api/v1/people', { body: { name, ...rightsOf(values) } }));
      refresh();
      return added;
    },
    async link({ name }: Person): Promise<Link> {
      const link = await answered(api.POST('/api/v1/people/{name}/link', path(name)));
      refresh();
      return link;
    },
    async edit(person: Person, values: Values): Promise<void> {
      await change(person.name, rightsOf(values));
      const { role, domains } = person;
      note(`${person.name} may do other things now.`, {
        undo: () =>
          change(person.name, {
            role: role as PersonRole,
            ...(role === 'domain' ? { domains } : {}),
          }),
      });
    },
    async disable({ name, disabled }: Person): Promise<void> {
      await change(name, { disabled: !disabled });
      note(disabled ? `${name} may sign in again.` : `${name} may not sign in. Their sessions have ended.`, {
        undo: () => change(name, { disabled }),
      });
    },
    async removePasskeys({ name }: Person): Promise<void> {
      await answered(api.DELETE('/api/v1/people/{name}/passkeys', path(name)));
      refresh();
      note(`${name} has no passkeys any more. Their sessions have ended.`);
    },
    async remove({ name }: Person): Promise<void> {
      await answered(api.DELETE('/api/v1/people/{name}', path(name)));
      refresh();
      note(`Removed ${name}. Their sessions have ended.`);
    },
  };
}

function rightsOf({ role, domains = '' }: Values): { role: PersonRole; domains?: string[] } {
  const named = domains.split(/[\s,;]+/).filter((domain) => domain !== '');
  return { role: role as PersonRole, ...(role === 'domain' ? { domains: named } : {}) };
}

type Open =
  | { is: 'add' }
  | { is: 'link'; person: Person; link: Link }
  | { is: 'edit' | 'passkeys' | 'remove'; person: Person };

/** The people who may sign in with a password. */
export function PeoplePart({ isNow }: { isNow: boolean }) {
  const who = useWho();
  const people = usePeople();
  const [dialog, setDialog] = useState<Open>();
  const close = (): void => setDialog(undefined);
  const list = useServerQuery({ queryKey: ['people'], queryFn: () => answered(api.GET('/api/v1/people')) });
  const canChange = isNow && list.data?.changeable === true;
  const makeLink = async (person: Person): Promise<void> =>
    setDialog({ is: 'link', person, link: await people.link(person) });
  return (
    <section aria-labelledby="people">
      <div className="head">
        <h2 id="people">Who may sign in</h2>
        {canChange && (
          <button type="button" className="primary" onClick={() => setDialog({ is: 'add' })}>
            Add a person
          </button>
        )}
      </div>
      <Loaded query={list}>
        {({ items, changeable }) => (
          <>
            {!changeable && (
              <p className="quiet">
                The server cannot write the file of administrators. On its machine: <code>stopgap admin</code>
              </p>
            )}
            {items.length === 0 ? (
              <p className="quiet">Nobody has a password here.</p>
            ) : (
              <Table
                label="People"
                items={items}
                keyOf={({ name }) => name}
                columns={[
                  { title: 'Name', cell: ({ name }) => name },
                  {
                    title: 'Role',
                    cell: ({ role, domains }) => (
                      <>
                        {ROLES[role].split(':')[0]}
                        {domains.length > 0 && <span className="quiet"> {domains.join(', ')}</span>}
                      </>
                    ),
                  },
                  { title: 'State', cell: (person) => <States person={person} /> },
                  {
                    title: 'Last seen',
                    cell: ({ usedAt, sessions }) =>
                      sessions === 0 ? (
                        'no session'
                      ) : (
                        <>
                          <Time at={usedAt} as="ago" />, {sessions} {sessions === 1 ? 'session' : 'sessions'}
                        </>
                      ),
                  },
                  ...(canChange
                    ? [
                        {
                          title: 'Actions',
                          cell: (person: Person) => (
                            <span className="line">
                              <button type="button" onClick={() => setDialog({ is: 'edit', person })}>
                                Edit
                              </button>
                              {!person.disabled && (
                                <button type="button" onClick={() => void makeLink(person).catch(fault)}>
                                  Link for a password
                                </button>
                              )}
                              {person.name !== who.name && (
                                <>
                                  {person.passkeys > 0 && (
                                    <button
                                      type="button"
                                      className="bare"
                                      onClick={() => setDialog({ is: 'passkeys', person })}
                                    >
                                      Remove passkeys
                                    </button>
                                  )}
                                  <button
                                    type="button"
                                    className="bare"
                                    onClick={() => void people.disable(person).catch(fault)}
                                  >
                                    {person.disabled ? 'Let in again' : 'Keep out'}
                                  </button>
                                  <button
                                    type="button"
                                    className="bare"
                                    onClick={() => setDialog({ is: 'remove', person })}
                                  >
                                    Remove
                                  </button>
                                </>
                              )}
                            </span>
                          ),
                        },
                      ]
                    : []),
                ]}
              />
            )}
          </>
        )}
      </Loaded>
      {dialog?.is === 'add' && (
        <Dialog title="Add a person" close={close}>
          <Form
            action="Add"
            cancel={close}
            send={async (values) => {
              const { person, link } = await people.add(values);
              setDialog({ is: 'link', person, link });
            }}
          >
            {(faultOf) => (
              <>
                <Field
                  label="Name"
                  name="name"
                  fault={faultOf('name')}
                  autoComplete="off"
                  spellCheck={false}
                />
                <RightsFields faultOf={faultOf} />
              </>
            )}
          </Form>
        </Dialog>
      )}
      {dialog?.is === 'edit' && (
        <Dialog title={`What ${dialog.person.name} may do`} close={close}>
          <Form
            action="Change"
            cancel={close}
            send={(values) => people.edit(dialog.person, values).then(close)}
          >
            {(faultOf) => <RightsFields faultOf={faultOf} person={dialog.person} />}
          </Form>
        </Dialog>
      )}
      {dialog?.is === 'passkeys' && (
        <Dialog title={`Remove the passkeys of ${dialog.person.name}?`} close={close}>
          <p>
            The lost device signs nobody in any more, and all sessions of {dialog.person.name} end. Password
            and second factor stay as they are.
          </p>
          <Form
            action="Remove them"
            danger
            cancel={close}
            send={() => people.removePasskeys(dialog.person).then(close)}
          >
            {() => null}
          </Form>
        </Dialog>
      )}
      {dialog?.is === 'remove' && (
        <Dialog title={`Remove ${dialog.person.name}?`} close={close}>
          <p>Their password and second factor are gone then. What they have decided stays in Changes.</p>
          <Form action="Remove" danger cancel={close} send={() => people.remove(dialog.person).then(close)}>
            {() => null}
          </Form>
        </Dialog>
      )}
      {dialog?.is === 'link' && <LinkDialog person={dialog.person} link={dialog.link} close={close} />}
    </section>
  );
}

function States({ person }: { person: Person }) {
  const { disabled, hasPassword, secondFactor, passkeys, linkUntil } = person;
  return (
    <span className="line">
      {disabled && <span className="tag tag-bad">kept out</span>}
      {!hasPassword && <span className="tag tag-warn">no password yet</span>}
      {hasPassword && (
        <span className={secondFactor ? 'tag tag-good' : 'tag'}>
          {secondFactor ? 'two factors' : 'password'}
        </span>
      )}
      {passkeys > 0 && (
        <span className="tag tag-good">{passkeys === 1 ? 'passkey' : `${passkeys} passkeys`}</span>
      )}
      {linkUntil !== null && (
        <span className="quiet">
          a link for another <Time at={linkUntil} as="left" />
        </span>
      )}
    </span>
  );
}

function RightsFields({
  faultOf,
  person,
}: {
  faultOf: (field: string) => string | undefined;
  person?: Person;
}) {
  const [role, setRole] = useState<string>(person?.role ?? 'operator');
  return (
    <>
      <Choice
        label="Role"
        name="role"
        fault={faultOf('role')}
        value={role}
        onChange={(event) => setRole(event.target.value)}
        options={CHOICES}
      />
      {role === 'domain' && (
        <Field
          label="Domains"
          name="domains"
          fault={faultOf('domains')}
          defaultValue={person?.domains.join(', ')}
          hint="With their subdomains. Several with commas: example.com, example.org"
          autoComplete="off"
          spellCheck={false}
        />
      )}
    </>
  );
}

/** The link is shown once: if it is lost, another has to be made. */
function LinkDialog({ person, link, close }: { person: Person; link: Link; close: () => void }) {
  const { name, passkeys } = person;
  const [isCopied, setCopied] = useState(false);
  const url = new URL(link.link, document.baseURI).href;
  return (
    <Dialog title={`A link for ${name}`} close={close}>
      <p>
        Give it to {name} in a way that others do not read. It lets them choose a password, once, until{' '}
        <Time at={link.until} />. It is shown only now.
      </p>
      {passkeys > 0 && (
        <p>
          {passkeys === 1 ? 'A passkey' : `${passkeys} passkeys`} of {name} will sign in as before. Remove
          them if a device is lost.
        </p>
      )}
      <pre tabIndex={0} aria-label="The link">
        {url}
      </pre>
      <div className="buttons">
        {'clipboard' in navigator && (
          <button
            type="button"
            className="primary"
            onClick={() => void navigator.clipboard.writeText(url).then(() => setCopied(true))}
          >
            Copy
          </button>
        )}
        <button type="button" onClick={close}>
          Close
        </button>
        <span role="status">{isCopied && 'Copied.'}</span>
      </div>
    </Dialog>
  );
}
