import type { OverrideEvent, OverrideSet } from './events.js';
import type { OverrideEntry, OverrideOrigin, Terms } from './model.js';

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

/** The terms alone, without what an event, or whatever else extends them, holds beside them. */
export function termsOf({ limits, factor, total, plan }: Terms): Terms {
  return {
    ...(limits === undefined ? {} : { limits }),
    ...(factor === undefined ? {} : { factor }),
    ...(total === undefined ? {} : { total }),
    ...(plan === undefined ? {} : { plan }),
  };
}
