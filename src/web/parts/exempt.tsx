import { useQueryClient } from '@tanstack/react-query';
import type { Block } from '../api.js';
import { answered, api, ApiError } from '../api.js';
import { subjectName } from './blocks.js';
import { refresh } from './decisions.js';
import { Dialog } from './dialog.js';
import { Field, Form, SpanField, spanBody } from './forms.js';
import type { Values } from './forms.js';
import { fault, note } from './notes.js';

/** Exempts the sender of a proposal from rules, then dismisses the proposal. */
export function ExemptDialog({ block, close, done }: { block: Block; close: () => void; done: () => void }) {
  const client = useQueryClient();
  const name = subjectName(block.subject);
  const send = async (values: Values): Promise<void> => {
    const { reason = '' } = values;
    const body = { subject: block.subject, reason, ...spanBody(values) };
    const granted = await answered(api.POST('/api/v1/exemptions', { body }));
    close();
    done();
    try {
      const note = `exempt: ${reason.trim()}`;
      const params = { path: { id: block.id } };
      await answered(api.POST('/api/v1/blocks/{id}/dismiss', { params, body: { note } }));
    } catch (error) {
      // It may be decided by now: the exemption is what was asked for.
      if (!(error instanceof ApiError && error.status === 409)) fault(error);
    }
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
