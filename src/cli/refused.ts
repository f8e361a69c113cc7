import { StopgapError } from '../kernel/errors.js';
import { printable } from '../kernel/printable.js';
import type { Direction, MailDirection, Subject } from '../sending/subjects.js';
import type { ApiClient } from './client.js';
import type { CliIo } from './io.js';
import { note } from './io.js';

/** What is asked after something was done: it is done all the same, and what cannot be told is said. */
export async function orNote<T>(io: CliIo, what: string, asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (!(error instanceof StopgapError)) throw error;
    // A pattern is no sender that can be asked about.
    if (error.code !== 'invalid-input') note(io, `${what} is not known now: ${error.message}`);
    return undefined;
  }
}

/** What refuses a sender besides a block of its own: one on its domain, on where it was refused last, or a wider one. */
export async function refusedBy(
  client: ApiClient,
  { type, value }: Pick<Subject, 'type' | 'value'>,
  direction: Direction = 'outbound',
): Promise<string | undefined> {
  // Of a wide network a part may be blocked: one address does not tell of the whole.
  if (type === 'ip' && value.includes('/') && !value.endsWith('/64')) return undefined;
  const asked: MailDirection = direction === 'inbound' ? 'inbound' : 'outbound';
  const query = { ...named(type, value), direction: asked };
  const { refused, sentence, block } = await client.get('/api/v1/check', { params: { query } });
  const isOfMailbox = type === 'account' || type === 'address';
  if (!refused || (!isOfMailbox && block?.subject.type !== type)) return undefined;
  return `${printable(sentence)}${block === null ? '' : ` (stopgap block show ${block.id})`}`;
}

function named(type: Subject['type'], value: string): Readonly<Record<string, string>> {
  switch (type) {
    case 'address':
      return { returnPath: value };
    case 'domain':
      return { account: `postmaster@${value}` };
    case 'ip':
      return { ip: value.replace(/\/.*/, '') };
    case 'account':
    case 'ehlo':
      return { [type]: value };
  }
}
