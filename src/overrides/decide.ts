import { isOver } from '../blocks/state.js';
import { InvalidInput } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import { formatInstant } from '../kernel/time.js';
import type { OverrideEvent, OverrideFact, OverrideSet } from './events.js';
import type { OverrideEntry, OverrideOrigin, OverrideSubject, Terms } from './model.js';
import { sameOverride } from './model.js';

export type OverrideCommand =
  | ({ readonly kind: 'set'; readonly origin: OverrideOrigin } & OverrideEntry)
  | {
      readonly kind: 'remove';
      readonly subject: OverrideSubject;
      readonly origin: OverrideOrigin;
      readonly note?: string;
    };

/**
 * What a command brings about: no fact where things are so already. An entry of the file whose time is over is as good
 * as gone from it: files age, and a date that has passed must not keep a server from starting.
 *
 * @throws InvalidInput if the API is to set what is over already
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

/** What holds for a subject, by who set it. */
export type OverrideStanding = { readonly [Origin in OverrideOrigin]?: Omit<OverrideEntry, 'subject'> };

export const NOTHING_SET: OverrideStanding = {};

/** Folds one event of the subject's own stream. */
export function evolve(standing: OverrideStanding, event: OverrideEvent): OverrideStanding {
  const { file, api } = standing;
  const { origin } = event.data;
  const next = event.type === 'OverrideSet' ? heldBy(event.data) : undefined;
  const both = { file: origin === 'file' ? next : file, api: origin === 'api' ? next : api };
  return {
    ...(both.file === undefined ? {} : { file: both.file }),
    ...(both.api === undefined ? {} : { api: both.api }),
  };
}

/** What an event sets. */
export function heldBy(data: OverrideSet): Omit<OverrideEntry, 'subject'> {
  const { until, reason } = data;
  return { terms: termsOf(data), until, ...(reason === undefined ? {} : { reason }) };
}

/** The terms alone, without the other fields of an event or of another extension. */
export function termsOf({ limits, factor, total, plan }: Terms): Terms {
  return {
    ...(limits === undefined ? {} : { limits }),
    ...(factor === undefined ? {} : { factor }),
    ...(total === undefined ? {} : { total }),
    ...(plan === undefined ? {} : { plan }),
  };
}
