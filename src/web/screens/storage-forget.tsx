import { useQueryClient } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import type { Schemas } from '../api.js';
import { answered, api, ApiError } from '../api.js';
import { plural } from '../parts/counted.js';
import { Dialog } from '../parts/dialog.js';
import type { Values } from '../parts/forms.js';
import { Choice, Field, Form } from '../parts/forms.js';
import { blockPath, useQuery } from '../route.js';

type Forgotten = Schemas['Forgotten'];
type PersonType = 'account' | 'address';

/** What is asked for, and what to do with the answer. */
interface Asked {
  readonly value: string;
  readonly answer: (isMeant: boolean) => void;
}

/** Takes a person out of what is stored. It cannot be undone, so it is asked for twice. */
export function Forget() {
  const client = useQueryClient();
  const [{ forget: preset = '', type: presetType = 'account' }, change] = useQuery();
  const [asked, ask] = useState<Asked>();
  const [isBusy, setBusy] = useState(false);
  const [done, setDone] = useState<Forgotten>();
  /** The block or proposal that is in the way. */
  const [open, setOpen] = useState<string>();
  const result = useRef<HTMLDivElement>(null);

  const agreed = (value: string): Promise<boolean> =>
    new Promise((resolve) => {
      ask({
        value,
        answer(isMeant) {
          ask(undefined);
          resolve(isMeant);
        },
      });
    });
  const send = async ({ value = '', type = 'account' }: Values): Promise<void> => {
    setDone(undefined);
    setOpen(undefined);
    // What is empty is not asked about: the server says that it is wrong.
    if (value.trim() !== '' && !(await agreed(value.trim()))) return;
    setBusy(true);
    try {
      const subject = { type: type as PersonType, value: value.trim() };
      setDone(await answered(api.POST('/api/v1/forget', { body: { subject } })));
      // The name is not left in the field, nor in the address of the page.
      change({ forget: undefined, type: undefined });
      result.current?.focus();
      void client.invalidateQueries();
    } catch (error) {
      const block = error instanceof ApiError ? error.problem?.['block'] : undefined;
      if (typeof block === 'string') setOpen(block);
      throw error;
    } finally {
      setBusy(false);
    }
  };
  return (
    <section className="panel forget" aria-labelledby="forget">
      <h2 id="forget">Forget a person</h2>
      <p className="quiet">
        Erases what is stored of one person, if they ask for it or have left. A block or proposal of theirs
        has to be ended before.
      </p>
      <Form send={send} action="Forget…" danger>
        {(fault) => (
          <div className="limits">
            <Field
              key={done?.pseudonym ?? preset}
              label="Account or address"
              name="value"
              defaultValue={preset}
              placeholder="alice@example.com"
              autoComplete="off"
              fault={fault('subject')}
            />
            <Choice
              label="It is"
              name="type"
              defaultValue={presetType}
              options={[
                ['account', 'an account that signs in here'],
                ['address', 'an address only'],
              ]}
              hint="Where the name is both, both are forgotten."
            />
          </div>
        )}
      </Form>
      {open !== undefined && (
        <p>
          <a href={`#${blockPath(open)}`}>Open what is in the way</a>
        </p>
      )}
      <div role="status" ref={result} tabIndex={-1}>
        {isBusy && <p className="quiet">Erasing. A large store takes minutes; it goes on if you leave.</p>}
        {done !== undefined && <Result forgotten={done} />}
      </div>
      {asked !== undefined && <Confirmation {...asked} />}
    </section>
  );
}

function Confirmation({ value, answer }: Asked) {
  return (
    <Dialog title={`Forget ${value} for ever?`} close={() => answer(false)}>
      <p>
        <strong>This goes:</strong> sends, refusals, bounces, held mail, day summaries and own limits, also
        what was imported. What is usual for them has to be learnt anew.
      </p>
      <p>
        <strong>This stays, under a random name:</strong> the histories of their blocks, proposals and
        exemptions, and notes, notices and events of others that name them.
      </p>
      <p>
        Backups, logs and what your mail servers keep are not reached. <strong>It cannot be undone.</strong>
      </p>
      <div className="buttons">
        <button type="button" className="danger" onClick={() => answer(true)}>
          Erase for ever
        </button>
        <button type="button" onClick={() => answer(false)}>
          Cancel
        </button>
      </div>
    </Dialog>
  );
}

function Result({ forgotten: { pseudonym, erased, rewritten, remains } }: { forgotten: Forgotten }) {
  return (
    <>
      {pseudonym === null ? (
        <>
          <h3 className="spaced">Nothing is known of that name</h3>
          <p>Nothing was erased. See that the name is written right.</p>
        </>
      ) : (
        <>
          <h3 className="spaced">They are forgotten</h3>
          <p>
            {plural(erased, 'event')} erased, {plural(rewritten, 'event')} kept without the name, as{' '}
            <code>{pseudonym}</code>.
          </p>
        </>
      )}
      <p>What is left to you:</p>
      <ul>
        {remains.map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
    </>
  );
}
