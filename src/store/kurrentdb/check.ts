import { InvalidInput } from '../../kernel/errors.js';
import type { NewEvent } from '../../kernel/events.js';
import { checkAppend } from '../check.js';
import type { ExpectedRevision } from '../port.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const NO_UUID = '00000000-0000-0000-0000-000000000000';

/**
 * Sees that an append can be stored by the server and read back as it is: besides what holds for every store, event
 * ids are UUIDs here, and streams that begin with `$` belong to the server.
 *
 * @throws InvalidInput
 */
export function checkForServer(
  stream: string,
  events: readonly NewEvent[],
  expected: ExpectedRevision,
): void {
  checkAppend(stream, events, expected);
  if (stream.startsWith('$'))
    throw new InvalidInput('stream', "streams whose names begin with $ are the server's");
  for (const { id } of events) {
    if (!UUID.test(id) || id === NO_UUID) throw new InvalidInput('id', `an event's id is a UUID, not ${id}`);
  }
}
