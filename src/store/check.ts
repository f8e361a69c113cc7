import { InvalidInput } from '../kernel/errors.js';
import type { NewEvent } from '../kernel/events.js';
import { messageOf } from '../kernel/errors.js';
import type { ExpectedRevision } from './port.js';

/**
 * Sees that an append can be stored and read back as it is.
 *
 * @returns the JSON text of each event's data
 * @throws InvalidInput
 */
export function checkAppend(
  stream: string,
  events: readonly NewEvent[],
  expected: ExpectedRevision,
): string[] {
  checkText('stream', stream);
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
  return events.map(checkEvent);
}

function checkEvent(event: NewEvent): string {
  checkText('id', event.id);
  checkText('type', event.type);
  checkText('by', event.by);
  if (event.correlation !== undefined) checkText('correlation', event.correlation);
  if (event.trace !== undefined) checkText('trace', event.trace);
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
  return text;
}

function checkText(field: string, text: string): void {
  // UTF-8 cannot hold half of a surrogate pair: the name would come back as another one.
  if (typeof text !== 'string' || text === '' || text.includes('\0') || !text.isWellFormed()) {
    throw new InvalidInput(
      field,
      `${field} must be text that is not empty and without NUL or half surrogates`,
    );
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
