import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { answered, api, ApiError } from '../api.js';
import icon from '../favicon.svg';
import type { Values } from '../parts/forms.js';
import { Field, Form } from '../parts/forms.js';

export function SignInScreen() {
  const client = useQueryClient();
  const [needsCode, setNeedsCode] = useState(false);
  const signIn = async ({ name = '', password = '', code = '' }: Values): Promise<void> => {
    try {
      const body = { name, password, ...(code === '' ? {} : { code: code.replace(/\s/g, '') }) };
      const who = await answered(api.POST('/api/v1/sign-in', { body }));
      client.setQueryData(['session'], who);
    } catch (thrown) {
      if (thrown instanceof ApiError && thrown.problem?.['needs'] === 'code' && !needsCode)
        setNeedsCode(true);
      else throw thrown;
    }
  };
  return (
    <main className="alone">
      <h1>
        <img src={icon} alt="" width="28" height="28" /> Stopgap
      </h1>
      <Form send={signIn} action="Sign in">
        {(fault) => (
          <>
            <Field
              label="Name"
              name="name"
              autoComplete="username"
              required
              autoFocus
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
    </main>
  );
}
