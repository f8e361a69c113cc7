import { useQueryClient } from '@tanstack/react-query';
import type { Block } from '../api.js';
import { answered, api } from '../api.js';
import { subjectName } from './blocks.js';
import { refresh } from './decisions.js';
import { Dialog } from './dialog.js';
import { Field, Form, SpanField, spanBody } from './forms.js';
import type { Values } from './forms.js';
import { fault, note } from './notes.js';

/** Exempts the sender of a proposal from rules, which dismisses the proposal. */
export function ExemptDialog({
  block,
  close,
  before,
  failed,
  done,
}: {
  block: Block;
  close: () => void;
  before: () => void;
  failed: () => void;
  done: () => void;
}) {
  const client = useQueryClient();
  const name = subjectName(block.subject);
  const send = async (values: Values): Promise<void> => {
    const { reason = '' } = values;
    const body = { subject: block.subject, reason, ...spanBody(values) };
    before();
    // It dismisses the proposal, too.
    const granted = await answered(api.POST('/api/v1/exemptions', { body })).catch((error: unknown) => {
      failed();
      throw error;
    });
    close();
    done();
    refresh(client);
    void client.invalidateQueries({ queryKey: ['exemptions'] });
    const going = granted.blocks.length;
    note(
      `Exempted ${name}, and dismissed its proposal.${
        going === 0
          ? ''
          : ` ${going === 1 ? 'A block' : `${going} blocks`} of it goes on: an exemption ends none.`
      }`,
      { undo: () => void revoke(granted.id).catch(fault) },
    );
  };
  const revoke = async (id: string): Promise<void> => {
    await answered(api.DELETE('/api/v1/exemptions/{id}', { params: { path: { id } } }));
    void client.invalidateQueries({ queryKey: ['exemptions'] });
    note(`${name} is not exempt any more. Its proposal stays dismissed.`);
  };
  return (
    <Dialog title={`Exempt ${name}`} close={close}>
      <p>No rule proposes or blocks it then. This proposal is dismissed.</p>
      <Form send={send} action="Exempt" cancel={close}>
        {(of) => (
          <>
            <Field label="Why" name="reason" fault={of('reason')} required autoFocus />
            <SpanField fault={of} label="For how long" />
          </>
        )}
      </Form>
    </Dialog>
  );
}
