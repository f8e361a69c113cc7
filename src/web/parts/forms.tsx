import type { FormEvent, ReactNode } from 'react';
import { useEffect, useId, useRef, useState } from 'react';
import { ApiError } from '../api.js';
import { InOwnZone } from '../time.js';

export type Values = Readonly<Record<string, string>>;

/** What the page itself refuses, at a field. */
export class FieldFault extends Error {
  readonly faults: readonly FaultAt[];

  constructor(faults: readonly FaultAt[]) {
    super(faults.map(({ message }) => message).join(' '));
    this.faults = faults;
  }
}

interface FaultAt {
  readonly field: string;
  readonly message: string;
}

function faultsOf(error: Error | undefined): readonly FaultAt[] {
  if (error instanceof FieldFault) return error.faults;
  return error instanceof ApiError ? (error.problem?.errors ?? []) : [];
}

/** A day without a time is nothing to a form, as if the field were empty. */
function refuseHalfTyped(form: HTMLFormElement): void {
  const half = [...form.elements].filter(
    (field): field is HTMLInputElement => field instanceof HTMLInputElement && field.validity.badInput,
  );
  if (half.length > 0)
    throw new FieldFault(
      half.map(({ name, required }) => ({
        field: name,
        message: `Give the day and the time${required ? '.' : ', or leave it empty.'}`,
      })),
    );
}

/** When a field for day and time says, in the reader's zone, as the API takes it. */
export function instantOf(local: string): string {
  const at = new Date(local);
  // The server says what is wrong with it.
  return Number.isNaN(at.getTime()) ? local : at.toISOString();
}

/**
 * A form that keeps what was typed, and shows what the server says at the field that it names.
 *
 * @param send what is in the fields, by name; it throws what the server refuses
 */
export function Form({
  send,
  action,
  danger = false,
  cancel,
  children,
}: {
  send: (values: Values) => Promise<unknown>;
  action: string;
  danger?: boolean;
  cancel?: (() => void) | undefined;
  children: (fault: (field: string) => string | undefined) => ReactNode;
}) {
  const [isSending, setSending] = useState(false);
  const [error, setError] = useState<Error>();
  const form = useRef<HTMLFormElement>(null);
  const faults = faultsOf(error);

  useEffect(() => {
    if (error !== undefined) form.current?.querySelector<HTMLElement>('[aria-invalid=true]')?.focus();
  }, [error]);

  const submit = async (event: FormEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault();
    if (isSending) return;
    const values = Object.fromEntries(
      [...new FormData(event.currentTarget)].map(([name, value]) => [
        name,
        typeof value === 'string' ? value : '',
      ]),
    );
    const { currentTarget } = event;
    setSending(true);
    setError(undefined);
    try {
      refuseHalfTyped(currentTarget);
      await send(values);
    } catch (thrown) {
      setError(thrown as Error);
    } finally {
      setSending(false);
    }
  };

  const shown = new Set<string>();
  const fault = (field: string): string | undefined => {
    const found = faults.find((one) => one.field === field || one.field.startsWith(`${field}.`));
    if (found !== undefined) shown.add(found.field);
    return found?.message;
  };
  const fields = children(fault);
  const others = faults.filter(({ field }) => !shown.has(field));
  return (
    <form ref={form} noValidate onSubmit={(event) => void submit(event)}>
      {fields}
      {error !== undefined && (faults.length === 0 || others.length > 0) && (
        <p className="fault" role="alert">
          <InOwnZone
            text={
              faults.length === 0
                ? error.message
                : others.map(({ field, message }) => `${field}: ${message}`).join('; ')
            }
          />
        </p>
      )}
      <div className="buttons">
        <button type="submit" className={danger ? 'danger' : 'primary'} aria-disabled={isSending}>
          {action}
        </button>
        {cancel !== undefined && (
          <button type="button" onClick={cancel}>
            Cancel
          </button>
        )}
      </div>
    </form>
  );
}

interface FieldProps {
  readonly label: string;
  readonly name: string;
  readonly fault?: string | undefined;
  readonly hint?: ReactNode;
}

/** A label, its control, a hint, and what is wrong. */
export function Field({
  label,
  name,
  fault,
  hint,
  ...input
}: FieldProps & Omit<React.ComponentProps<'input'>, 'name'>) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input {...input} {...described(id, name, fault, hint)} />
      <Below id={id} fault={fault} hint={hint} />
    </div>
  );
}

/** The own password, which what matters asks for again. */
export function PasswordField({
  label = 'Your password',
  fault,
}: Partial<Pick<FieldProps, 'label' | 'fault'>>) {
  return (
    <Field label={label} name="password" type="password" autoComplete="current-password" fault={fault} />
  );
}

export function TextField({
  label,
  name,
  fault,
  hint,
  ...input
}: FieldProps & Omit<React.ComponentProps<'textarea'>, 'name'>) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea {...input} {...described(id, name, fault, hint)} />
      <Below id={id} fault={fault} hint={hint} />
    </div>
  );
}

export function Choice({
  label,
  name,
  fault,
  hint,
  options,
  ...select
}: FieldProps & { options: readonly (readonly [string, string])[] } & Omit<
    React.ComponentProps<'select'>,
    'name'
  >) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select {...select} {...described(id, name, fault, hint)}>
        {options.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
      <Below id={id} fault={fault} hint={hint} />
    </div>
  );
}

export function Check({ label, name, ...input }: FieldProps & Omit<React.ComponentProps<'input'>, 'name'>) {
  return (
    <label className="check">
      <input type="checkbox" name={name} value="true" {...input} /> {label}
    </label>
  );
}

function described(id: string, name: string, fault: string | undefined, hint: ReactNode) {
  const by = [fault === undefined ? '' : `${id}-fault`, hint === undefined ? '' : `${id}-hint`]
    .join(' ')
    .trim();
  return {
    id,
    name,
    'aria-invalid': fault !== undefined,
    'aria-describedby': by === '' ? undefined : by,
  };
}

function Below({ id, fault, hint }: { id: string; fault: string | undefined; hint: ReactNode }) {
  return (
    <>
      {fault !== undefined && (
        <p className="fault" id={`${id}-fault`}>
          <InOwnZone text={fault} />
        </p>
      )}
      {hint !== undefined && (
        <p className="quiet" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </>
  );
}

/** The ways to say how long. The value is what {@link spanBody} takes. */
export function SpanField({
  fault,
  name = 'span',
  first,
  label = 'How long',
  ended = 'released',
}: {
  fault: (field: string) => string | undefined;
  name?: string;
  /** An option before the others: its value and its text. */
  first?: readonly [string, string];
  label?: string;
  /** What ends it where no time does. */
  ended?: string;
}) {
  const [value, setValue] = useState(first?.[0] ?? '1h');
  const own = fault('duration') ?? fault('until');
  return (
    <>
      <Choice
        label={label}
        name={name}
        fault={value === 'until' ? undefined : own}
        value={value}
        onChange={(event) => setValue(event.target.value)}
        options={[
          ...(first === undefined ? [] : [first]),
          ['1h', '1 hour'],
          ['4h', '4 hours'],
          ['24h', '24 hours'],
          ['7d', '7 days'],
          ['until', 'Until…'],
          ['indefinite', `Until it is ${ended} by hand`],
        ]}
      />
      {value === 'until' && <Field label="Until" name="until" type="datetime-local" required fault={own} />}
    </>
  );
}

/** How long, as the API takes it. */
export function spanBody(values: Values): { duration?: string; until?: string; indefinite?: true } {
  const { span = '', until = '' } = values;
  if (span === 'indefinite') return { indefinite: true };
  if (span !== 'until') return span === '' ? {} : { duration: span };
  return { until: instantOf(until) };
}
