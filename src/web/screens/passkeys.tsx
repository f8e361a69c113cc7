import { useQuery as useServerQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { Schemas } from '../api.js';
import { answered, api } from '../api.js';
import { Dialog } from '../parts/dialog.js';
import { Field, Form, PasswordField } from '../parts/forms.js';
import { note } from '../parts/notes.js';
import { addPasskey, hasPasskeys } from '../parts/passkey.js';
import { Loaded } from '../parts/states.js';
import { Time } from '../time.js';
import type { OwnDialog } from './account.js';
import { useRenewed } from './account.js';

type Passkey = Schemas['Passkey'];

/** The own passkeys. */
export function PasskeysPart({ isNow }: { isNow: boolean }) {
  const [dialog, setDialog] = useState<'add' | Passkey>();
  const close = (): void => setDialog(undefined);
  const ways = useServerQuery({
    queryKey: ['sign-in'],
    queryFn: () => answered(api.GET('/api/v1/sign-in')),
  });
  const passkeys = useServerQuery({
    queryKey: ['passkeys'],
    queryFn: () => answered(api.GET('/api/v1/session/passkeys')),
  });
  const canAdd = ways.data?.passkeys === true && hasPasskeys;
  return (
    <div>
      <dt>Passkeys</dt>
      <dd>
        <Loaded query={passkeys}>
          {({ items }) => (
            <>
              {items.length > 0 && (
                <ul className="passkeys">
                  {items.map((passkey) => (
                    <li key={passkey.id} className="line">
                      <span>
                        <strong>{passkey.name}</strong>{' '}
                        <span className="quiet">
                          added <Time at={passkey.addedAt} />,{' '}
                          {passkey.lastUsedAt === null ? (
                            'never used'
                          ) : (
                            <>
                              used <Time at={passkey.lastUsedAt} as="ago" />
                            </>
                          )}
                        </span>
                      </span>
                      {isNow && (
                        <button
                          type="button"
                          aria-label={`Remove the passkey ${passkey.name}`}
                          onClick={() => setDialog(passkey)}
                        >
                          Remove
                        </button>
                      )}
                    </li>
                  ))}
                </ul>
              )}
              <span className="line">
                {items.length === 0 && <span className="tag">none</span>}
                {isNow && canAdd && (
                  <button type="button" onClick={() => setDialog('add')}>
                    Add a passkey
                  </button>
                )}
              </span>
              {ways.data !== undefined && !canAdd && (
                <p className="quiet">
                  {hasPasskeys
                    ? 'They need HTTPS and the name in api.publicUrl, or localhost.'
                    : 'This browser has none here.'}
                </p>
              )}
            </>
          )}
        </Loaded>
      </dd>
      {dialog === 'add' && <AddDialog close={close} />}
      {typeof dialog === 'object' && <RemoveDialog close={close} passkey={dialog} />}
    </div>
  );
}

function AddDialog({ close }: OwnDialog) {
  const renewed = useRenewed();
  return (
    <Dialog title="Add a passkey" close={close}>
      <p>
        A finger, a face or a PIN on this device, or a security key, signs you in from then on. No password
        and no code is asked for then.
      </p>
      <Form
        action="Add it"
        cancel={close}
        send={async ({ name = '', password = '' }) => {
          await addPasskey(name, password);
          renewed();
          note(`You can sign in with the passkey ${name.trim()}. Your other sessions have ended.`);
          close();
        }}
      >
        {(fault) => (
          <>
            <Field label="What you call it" name="name" maxLength={60} fault={fault('name')} />
            <PasswordField fault={fault('password')} />
          </>
        )}
      </Form>
    </Dialog>
  );
}

function RemoveDialog({ close, passkey: { id, name } }: OwnDialog & { passkey: Passkey }) {
  const renewed = useRenewed();
  return (
    <Dialog title={`Remove the passkey ${name}`} close={close}>
      <p>It signs you in no more, and sessions that began with it end. Remove it from the device too.</p>
      <Form
        action="Remove it"
        danger
        cancel={close}
        send={async ({ password = '' }) => {
          const path = { params: { path: { id } } };
          await answered(api.DELETE('/api/v1/session/passkeys/{id}', { ...path, body: { password } }));
          renewed();
          note(`The passkey ${name} is removed.`);
          close();
        }}
      >
        {(fault) => <PasswordField fault={fault('password')} />}
      </Form>
    </Dialog>
  );
}
