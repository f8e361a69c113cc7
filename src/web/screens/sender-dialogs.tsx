import { useQueryClient } from '@tanstack/react-query';
import type { BodyOf, Schemas, Subject } from '../api.js';
import { answered, api } from '../api.js';
import { subjectName } from '../parts/blocks.js';
import { refresh } from '../parts/decisions.js';
import { Dialog } from '../parts/dialog.js';
import { Field, Form, instantOf, TextField } from '../parts/forms.js';
import type { Values } from '../parts/forms.js';
import { note } from '../parts/notes.js';
import { factorOf, limitOf } from '../parts/numbers.js';

export type Override = Schemas['OverrideDetail'];
export type OverrideBody = BodyOf<'put', '/api/v1/overrides/{type}/{value}'>;
type Layer = Schemas['OverrideLayer'];

interface SubjectDialog {
  readonly subject: Subject;
  readonly close: () => void;
}

/** The own limits of an account or a domain, in place of those that were set here before. */
export function LimitsDialog({
  subject,
  set,
  rules,
  close,
}: SubjectDialog & {
  set: Override;
  /** The rules that count it, with the limit that holds now. */
  rules: readonly { readonly rule: string; readonly counts: string; readonly limit: number }[];
}) {
  const client = useQueryClient();
  const changed = (): void => {
    refresh(client);
    void client.invalidateQueries({ queryKey: ['overrides'] });
  };
  const path = { type: subject.type as 'account' | 'domain', value: subject.value };
  const isDomain = subject.type === 'domain';
  // Of a domain its rules per domain are set here; what holds for each of its accounts is kept as it is.
  const before = isDomain ? set.api?.total : set.api;
  const send = async (values: Values): Promise<void> => {
    const version = { 'If-Match': `"${set.version}"` };
    const body = bodyOf(values, set.api, isDomain);
    await answered(api.PUT('/api/v1/overrides/{type}/{value}', { params: { path, header: version }, body }));
    changed();
    note(`Set the limits of ${subjectName(subject)}.`, { undo: () => undo() });
    close();
  };
  const undo = async (): Promise<void> => {
    // Limits that are over cannot be set again, and hold no more than none.
    if (set.api?.inForce !== true) await removeLimits(subject);
    else
      await answered(api.PUT('/api/v1/overrides/{type}/{value}', { params: { path }, body: again(set.api) }));
    changed();
    note(`The limits of ${subjectName(subject)} are as they were.`);
  };
  const where = isDomain ? 'total.' : '';
  return (
    <Dialog title={`Limits of ${subjectName(subject)}`} close={close}>
      <Form send={send} action="Set" cancel={close}>
        {(fault) => (
          <>
            <Field
              label="Times all limits"
              name="factor"
              inputMode="decimal"
              defaultValue={before?.factor ?? undefined}
              fault={fault(`${where}factor`) ?? fault('')}
              hint="2 doubles them. From 0.1 to 100; empty: they stay."
            />
            <fieldset>
              <legend>Or single limits</legend>
              <p className="quiet">A whole number, or off. Empty: as it is without.</p>
              <div className="limits">
                {rules.map(({ rule, counts, limit }) => (
                  <Field
                    key={rule}
                    label={`${rule} (${counts})`}
                    name={`limit ${rule}`}
                    defaultValue={before?.limits[rule]}
                    placeholder={`${limit}`}
                    fault={fault(`${where}limits.${rule}`)}
                  />
                ))}
              </div>
            </fieldset>
            <Field
              label="Until (empty: for ever)"
              name="until"
              type="datetime-local"
              defaultValue={localOf(set.api?.until)}
              fault={fault('until')}
            />
            <TextField
              label="Why (for your colleagues)"
              name="reason"
              defaultValue={set.api?.reason ?? ''}
              fault={fault('reason')}
            />
          </>
        )}
      </Form>
    </Dialog>
  );
}

export async function removeLimits({ type, value }: Subject): Promise<void> {
  const path = { type: type as 'account' | 'domain', value };
  await answered(api.DELETE('/api/v1/overrides/{type}/{value}', { params: { path } }));
}

function bodyOf(values: Values, kept: Layer | null, isDomain: boolean): OverrideBody {
  const { factor = '', until = '', reason = '' } = values;
  const limits = Object.fromEntries(
    Object.entries(values)
      .filter(([name, text]) => name.startsWith('limit ') && text.trim() !== '')
      .map(([name, text]) => [name.slice('limit '.length), limitOf(text)]),
  );
  const allowance = {
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
    ...(factor.trim() === '' ? {} : { factor: factorOf(factor) }),
  };
  const rest = {
    until: until === '' ? null : instantOf(until),
    ...(reason.trim() === '' ? {} : { reason: reason.trim() }),
    ...(kept === null || kept.plan === null ? {} : { plan: kept.plan }),
  };
  if (!isDomain) return { ...allowance, ...rest };
  const own = kept === null ? {} : allowanceOf(kept);
  return { ...own, ...(Object.keys(allowance).length === 0 ? {} : { total: allowance }), ...rest };
}

const allowanceOf = ({ limits, factor }: Pick<Layer, 'limits' | 'factor'>) => ({
  ...(Object.keys(limits).length === 0 ? {} : { limits }),
  ...(factor === null ? {} : { factor }),
});

/** A layer as the API takes it. */
export const again = (layer: Layer): OverrideBody => ({
  ...allowanceOf(layer),
  ...(layer.total === null ? {} : { total: allowanceOf(layer.total) }),
  until: layer.until,
  ...(layer.plan === null ? {} : { plan: layer.plan }),
  ...(layer.reason === null ? {} : { reason: layer.reason }),
});

function localOf(at: string | null | undefined): string | undefined {
  if (at === null || at === undefined) return undefined;
  const instant = new Date(at);
  return new Date(instant.getTime() - instant.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
