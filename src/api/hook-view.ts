import { z } from 'zod';
import type { HookRan } from '../blocks/events.js';
import { HELD_ACTIONS } from '../blocks/events.js';
import type { Subject } from '../sending/subjects.js';
import type { Concerns } from './http/route.js';
import { seesAll, seesMailOf } from './http/route.js';
import { position } from './shapes.js';

const UNLESS_OWN = 'Absent for the role domain, except of an account: it may be mail of others.';

export const hookShape = z
  .object({
    action: z.enum(['hold-queue', ...HELD_ACTIONS]),
    cause: position.meta({ description: 'Position of the event that asked for it.' }),
    outcome: z.enum(['done', 'failed', 'replaced']).meta({
      description: 'failed: it was given up. replaced: another decision came when it had done a part.',
    }),
    asked: z
      .int()
      .optional()
      .meta({ description: `Messages that it was called for. ${UNLESS_OWN}` }),
    acted: z
      .int()
      .optional()
      .meta({ description: `Of these, how many it says that it acted on. ${UNLESS_OWN}` }),
    moved: z
      .int()
      .optional()
      .meta({
        description: `Messages that were to be released and stay on hold, for other blocks that cover their senders. ${UNLESS_OWN}`,
      }),
    output: z.string().optional().meta({
      description: 'The first lines that it printed, or why it failed. Absent for the role domain.',
    }),
  })
  .meta({ id: 'HookRun', description: 'What the hook did.' });

type Ran = Partial<Pick<HookRan, 'block'>> & Omit<HookRan, 'block'>;
type Told = Pick<Ran, 'action' | 'cause' | 'outcome'> & Partial<Ran>;

/**
 * What a caller may know of a call of the hook for a block on a subject of theirs. It may have been about mail of others too, and
 * may have printed anything.
 */
export function hookFor(hook: Ran, subject: Subject, concerns: Concerns): Told {
  if (seesAll(concerns)) return hook;
  const { output: _, ...ran } = hook;
  if (seesMailOf(subject, concerns)) return ran;
  const { asked: _asked, acted: _acted, moved: _moved, through: _through, ...whatItWas } = ran;
  return whatItWas;
}
