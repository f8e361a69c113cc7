import { isOver } from '../blocks/state.js';
import { InvalidInput } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import { formatInstant } from '../kernel/time.js';
import type { OverrideFact } from './events.js';
import type { OverrideEntry, OverrideOrigin, OverrideSubject } from './model.js';
import { sameOverride } from './model.js';
import type { OverrideStanding } from './state.js';

export type OverrideCommand =
  | ({ readonly kind: 'set'; readonly origin: OverrideOrigin } & OverrideEntry)
  | {
      readonly kind: 'remove';
      readonly subject: OverrideSubject;
      readonly origin: OverrideOrigin;
      readonly note?: string;
    };

/**
 * What a command brings about: no fact where things are so already. An entry of the file whose time is over is as
 * good as gone from it: files age, and a date that has passed must not keep a server from starting.
 *
 * @throws InvalidInput where the API is to set what is over already
 */
export function decide(
  command: OverrideCommand,
  standing: OverrideStanding,
  now: Instant,
): readonly OverrideFact[] {
  const { subject, origin } = command;
  const before = standing[origin];
  if (command.kind === 'set' && !isOver(command.until, now)) {
    const { terms, until, reason } = command;
    if (before !== undefined && sameOverride(before, command)) return [];
    const why = reason === undefined ? {} : { reason };
    return [{ type: 'OverrideSet', data: { subject, origin, ...terms, until, ...why } }];
  }
  if (command.kind === 'set' && origin === 'api') {
    throw new InvalidInput('until', `must lie in the future (it is ${formatInstant(now)})`);
  }
  if (before === undefined) return [];
  const note = command.kind === 'remove' && command.note !== undefined ? { note: command.note } : {};
  return [{ type: 'OverrideRemoved', data: { subject, origin, ...note } }];
}
