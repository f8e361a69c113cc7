import { useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import type { Schemas, Subject } from '../api.js';
import { answered, api, made } from '../api.js';
import { Time } from '../time.js';
import { subjectName, SUBJECT_OPTIONS } from './blocks.js';
import { refresh, useDecisions } from './decisions.js';
import { Dialog } from './dialog.js';
import type { Values } from './forms.js';
import { useRights } from '../who.js';
import { Choice, Field, Form, SpanField, spanBody } from './forms.js';
import { fault, note } from './notes.js';

type Exemption = Schemas['Exemption'];
type Granted = Schemas['GrantedExemption'];
type Terms = Pick<Exemption, 'subject' | 'reason' | 'until'>;
type GoingOn = Granted['blocks'][number];

/** What a person can decide on exemptions. Each throws what the server refuses. */
export function useExemptions() {
  const client = useQueryClient();
  const changed = (): void => {
    refresh(client);
    for (const key of ['exemptions', 'check']) void client.invalidateQueries({ queryKey: [key] });
  };

  const exempt = async (subject: Subject, { reason = '', ...values }: Values): Promise<Granted> => {
    const body = { subject, reason, ...spanBody(values) };
    const { data: granted, isNew } = await made(api.POST('/api/v1/exemptions', { body }));
    changed();
    const name = subjectName(granted.subject);
    const { replaced, dismissed } = granted;
    const also = dismissed === null ? '' : ' The proposal that waited is dismissed.';
    const left = dismissed === null ? '' : ' The proposal does not come back.';
    // What was there before is not ours to take away.
    if (!isNew) note(`The very same exemption of ${name} was in force already.${also}`);
    else if (replaced === null) note(`Exempted ${name}.${also}`, { undo: () => undo(granted, left) });
    else
      note(`Exempted ${name}.${also} Before, the reason was: ${replaced.reason}`, {
        undo: () => putBack({ subject: granted.subject, ...replaced }, left),
      });
    return granted;
  };

  const remove = async (exemption: Exemption): Promise<void> => {
    await revoke(exemption);
    note(`Rules act on ${subjectName(exemption.subject)} again.`, {
      undo: () => again(exemption),
    });
  };

  /** Takes back an exemption that was just granted. */
  const undo = async (exemption: Exemption, left: string): Promise<void> => {
    await revoke(exemption);
    note(`Rules act on ${subjectName(exemption.subject)} again.${left}`);
  };

  const revoke = async ({ id }: Exemption): Promise<void> => {
    await answered(api.DELETE('/api/v1/exemptions/{id}', { params: { path: { id } } }));
    changed();
  };

  const again = async (exemption: Exemption): Promise<void> => {
    await grant(exemption);
    note(`Exempted ${subjectName(exemption.subject)} again.`);
  };

  const putBack = async (replaced: Terms, left: string): Promise<void> => {
    await grant(replaced);
    note(`The exemption of ${subjectName(replaced.subject)} is as it was.${left}`);
  };

  const grant = async ({ subject, reason, until }: Terms): Promise<void> => {
    const span = until === null ? { indefinite: true as const } : { until };
    await answered(api.POST('/api/v1/exemptions', { body: { subject, reason, ...span } }));
    changed();
  };

  return { exempt, remove };
}

/**
 * Keeps rules from acting on a sender.
 *
 * @param subject whom; undefined: the dialog asks
 * @param proposal told of what is sent for the sender of a proposal, which the exemption dismisses
 */
export function ExemptDialog({
  subject,
  proposal,
  close,
}: {
  subject?: Subject | undefined;
  proposal?: { before: () => void; failed: () => void; done: () => void } | undefined;
  close: () => void;
}) {
  const { exempt } = useExemptions();
  const [granted, setGranted] = useState<Granted>();
  const send = async ({ type, value = '', ...values }: Values): Promise<void> => {
    proposal?.before();
    const whom = subject ?? { type: type as Subject['type'], value };
    const done = await exempt(whom, values).catch((error: unknown) => {
      proposal?.failed();
      throw error;
    });
    proposal?.done();
    // An exemption releases nobody: the blocks that go on must be seen at once.
    if (done.blocks.length > 0) setGranted(done);
    else close();
  };
  if (granted !== undefined) return <StillBlocked granted={granted} close={close} />;
  return (
    <Dialog
      title={subject === undefined ? 'Exempt a sender' : `Exempt ${subjectName(subject)}`}
      close={close}
    >
      <p className="quiet">
        No rule proposes or blocks it. Blocks by hand still hold.{' '}
        {proposal === undefined
          ? 'A proposal that waits for it is dismissed.'
          : 'This proposal is dismissed.'}
      </p>
      <Form send={send} action="Exempt" cancel={close}>
        {(faultOf) => (
          <>
            {subject === undefined && (
              <>
                <Choice
                  label="Whom to exempt"
                  name="type"
                  fault={faultOf('subject.type')}
                  options={SUBJECT_OPTIONS}
                />
                <Field
                  label="Its name"
                  name="value"
                  fault={faultOf('subject.value') ?? faultOf('subject')}
                  hint="As news@example.com, example.com, mail.example.com or 192.0.2.0/24."
                  autoComplete="off"
                  spellCheck={false}
                />
              </>
            )}
            <Field label="Why" name="reason" fault={faultOf('reason')} autoFocus={subject !== undefined} />
            <SpanField fault={faultOf} ended="removed" />
          </>
        )}
      </Form>
    </Dialog>
  );
}

/** Blocks that an exemption covers, and does not end. */
function StillBlocked({ granted, close }: { granted: Granted; close: () => void }) {
  const { release } = useDecisions();
  const [released, setReleased] = useState<ReadonlySet<string>>(new Set());
  const free = async ({ id }: GoingOn): Promise<void> => {
    const block = await answered(api.GET('/api/v1/blocks/{id}', { params: { path: { id } } }));
    await release(block, { note: `exempt now: ${granted.reason}` });
    setReleased((before) => new Set([...before, id]));
  };
  return (
    <Dialog title={`${granted.subject.value} is exempt, and still blocked`} close={close}>
      <p>An exemption keeps rules from acting from now on. These blocks go on until they are released:</p>
      <ul className="plain">
        {granted.blocks.map((block) => (
          <li key={block.id} className="line">
            <span className="grow">
              {subjectName(block.subject)}{' '}
              <span className="quiet">
                {block.until === null ? (
                  'until released'
                ) : (
                  <>
                    for another <Time at={block.until} as="left" />
                  </>
                )}
              </span>
            </span>
            {released.has(block.id) ? (
              <span className="tag tag-good">released</span>
            ) : (
              <button
                type="button"
                aria-label={`Release ${subjectName(block.subject)}`}
                onClick={() => void free(block).catch(fault)}
              >
                Release
              </button>
            )}
          </li>
        ))}
      </ul>
      <div className="buttons">
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
    </Dialog>
  );
}

/** For those who may not do it themselves. */
export function AskOperators({ what }: { what: string }) {
  const { seesServer } = useRights();
  return (
    <p>
      {seesServer
        ? `An operator or an administrator of this server can ${what}: ask them.`
        : `Only those who run the mail server can ${what}: ask them.`}
    </p>
  );
}
