import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import type { Schemas } from '../api.js';
import { answered, api } from '../api.js';
import { Dialog } from '../parts/dialog.js';
import { Field, Form, PasswordField } from '../parts/forms.js';
import { note } from '../parts/notes.js';
import { NewPassword } from './sign-in.js';

export interface OwnDialog {
  readonly close: () => void;
}

/** The browser has another session after each of these changes; others have ended. */
export function useRenewed(): () => void {
  const client = useQueryClient();
  return () => {
    for (const key of ['session', 'sessions', 'passkeys', 'people', 'changes'])
      void client.invalidateQueries({ queryKey: [key] });
  };
}

export function PasswordDialog({ close }: OwnDialog) {
  const renewed = useRenewed();
  return (
    <Dialog title="Change your password" close={close}>
      <Form
        action="Change it"
        cancel={close}
        send={async ({ password = '', newPassword = '' }) => {
          await answered(api.PUT('/api/v1/session/password', { body: { password, newPassword } }));
          renewed();
          note('Your password is another one now. Your other sessions have ended.');
          close();
        }}
      >
        {(fault) => (
          <>
            <PasswordField label="The present one" fault={fault('password')} />
            <NewPassword label="The new one" name="newPassword" fault={fault('newPassword')} />
          </>
        )}
      </Form>
    </Dialog>
  );
}

export function EndSecondFactorDialog({ close }: OwnDialog) {
  const renewed = useRenewed();
  return (
    <Dialog title="Turn the second factor off" close={close}>
      <p>From then on the password alone is enough to sign in. Your recovery codes work no more.</p>
      <Form
        action="Turn it off"
        danger
        cancel={close}
        send={async ({ password = '' }) => {
          await answered(api.DELETE('/api/v1/session/second-factor', { body: { password } }));
          renewed();
          note('Your second factor is off.');
          close();
        }}
      >
        {(fault) => <PasswordField fault={fault('password')} />}
      </Form>
    </Dialog>
  );
}

type NewSecondFactor = Schemas['NewSecondFactor'];

/** Shows a secret to an authenticator, asks for its first code, then shows the recovery codes once. */
export function SecondFactorDialog({ close }: OwnDialog) {
  const [factor, setFactor] = useState<NewSecondFactor>();
  const [codes, setCodes] = useState<readonly string[]>();
  const renewed = useRenewed();
  if (codes !== undefined) return <RecoveryCodes codes={codes} close={close} />;
  return (
    <Dialog title="Set up a second factor" close={close}>
      {factor === undefined ? (
        <Form
          action="Go on"
          cancel={close}
          send={async ({ password = '' }) =>
            setFactor(await answered(api.POST('/api/v1/session/second-factor', { body: { password } })))
          }
        >
          {(fault) => <PasswordField fault={fault('password')} />}
        </Form>
      ) : (
        <>
          <p>Read this with an authenticator on your phone, then type the code that it shows.</p>
          <QrCode text={factor.uri} />
          <p>
            Or type this key: <code>{factor.secret.replace(/(.{4})(?=.)/g, '$1 ')}</code>
          </p>
          <Form
            action="Turn it on"
            cancel={close}
            send={async ({ code = '' }) => {
              const body = { code: code.replace(/\s/g, '') };
              const { recoveryCodes } = await answered(api.PUT('/api/v1/session/second-factor', { body }));
              renewed();
              setCodes(recoveryCodes);
            }}
          >
            {(fault) => (
              <Field
                label="The six digits that it shows"
                name="code"
                inputMode="numeric"
                autoComplete="one-time-code"
                fault={fault('code')}
              />
            )}
          </Form>
        </>
      )}
    </Dialog>
  );
}

function RecoveryCodes({ codes, close }: OwnDialog & { codes: readonly string[] }) {
  const [file, setFile] = useState<string>();
  const [isCopied, setCopied] = useState(false);
  useEffect(() => {
    const url = URL.createObjectURL(new Blob([`${codes.join('\n')}\n`], { type: 'text/plain' }));
    setFile(url);
    return () => URL.revokeObjectURL(url);
  }, [codes]);
  return (
    <Dialog title="Your recovery codes" close={close} stays>
      <p>
        The second factor is on. If your phone is lost, each of these signs you in once. They are shown only
        now: keep them where your phone is not.
      </p>
      <ol className="codes mono">
        {codes.map((code) => (
          <li key={code}>{code}</li>
        ))}
      </ol>
      <div className="buttons">
        <a className="button" href={file} download="stopgap-recovery-codes.txt">
          Download
        </a>
        {'clipboard' in navigator && (
          <button
            type="button"
            onClick={() => void navigator.clipboard.writeText(codes.join('\n')).then(() => setCopied(true))}
          >
            Copy
          </button>
        )}
        <button type="button" className="primary" onClick={close}>
          I have kept them
        </button>
        <span role="status">{isCopied && 'Copied.'}</span>
      </div>
    </Dialog>
  );
}

/** A picture that a camera reads. What draws it is loaded only here. */
function QrCode({ text }: { text: string }) {
  const [drawn, setDrawn] = useState<{ size: number; path: string }>();
  useEffect(() => {
    void import('uqr').then(({ encode }) => {
      const { data, size } = encode(text, { border: 3 });
      const dots = data.flatMap((row, y) =>
        row.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : [])),
      );
      setDrawn({ size, path: dots.join('') });
    });
  }, [text]);
  return (
    <svg
      className="qr"
      role="img"
      aria-label="A picture for an authenticator. The key below says the same."
      viewBox={`0 0 ${drawn?.size ?? 45} ${drawn?.size ?? 45}`}
      shapeRendering="crispEdges"
    >
      <path d={drawn?.path} />
    </svg>
  );
}
