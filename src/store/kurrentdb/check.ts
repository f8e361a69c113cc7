import { InvalidInput, messageOf } from '../../kernel/errors.js';
import type { NewEvent } from '../../kernel/events.js';
import type { ExpectedRevision } from '../port.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** Half of a surrogate pair, which UTF-8 cannot hold: the name would come back as another one. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/**
 * Sees that an append can be stored and read back as it is.
 *
 * @throws InvalidInput
 */
export function checkAppend(stream: string, events: readonly NewEvent[], expected: ExpectedRevision): void {
  checkText('stream', stream);
  if (stream.startsWith('$'))
    throw new InvalidInput('stream', "streams whose names begin with $ are the server's");
  if (typeof expected === 'number' && !isCount(expected)) {
    throw new InvalidInput(
      'expected',
      `an expected revision is any, none or a number from 0 on, not ${expected}`,
    );
  }
  if (events.length === 0) throw new InvalidInput('events', `an append to ${stream} without an event`);
  if (events.length > 1 && new Set(events.map(({ id }) => id)).size < events.length) {
    throw new InvalidInput('events', `an append to ${stream} with the same event id twice`);
  }
  events.forEach(checkEvent);
}

function checkEvent(event: NewEvent): void {
  if (!UUID.test(event.id) || event.id === NO_UUID) {
    throw new InvalidInput('id', `an event's id is a UUID, not ${event.id}`);
  }
  checkText('type', event.type);
  checkText('by', event.by);
  if (event.correlation !== undefined) checkText('correlation', event.correlation);
  if (!Number.isSafeInteger(event.at)) {
    throw new InvalidInput('at', `an event's time is in whole milliseconds, not ${event.at}`);
  }
  const { version = 1 } = event;
  if (!isCount(version) || version < 1) {
    throw new InvalidInput('version', `an event's version is a number from 1 on, not ${version}`);
  }
  let text: string | undefined;
  try {
    text = JSON.stringify(event.data);
  } catch (error) {
    throw new InvalidInput(
      'data',
      `the data of a ${event.type} cannot be written as JSON: ${messageOf(error)}`,
    );
  }
  if (text === undefined) throw new InvalidInput('data', `the data of a ${event.type} has no form in JSON`);
}

function checkText(field: string, text: string): void {
  if (typeof text !== 'string' || text === '' || text.includes('\0') || LONE_SURROGATE.test(text)) {
    throw new InvalidInput(
      field,
      `${field} must be text that is not empty and without NUL or half surrogates`,
    );
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
