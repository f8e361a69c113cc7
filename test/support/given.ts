import assert from 'node:assert/strict';
import type { At, BlockCommand, RuleTerms } from '../../src/blocks/commands.js';
import { decide } from '../../src/blocks/decide.js';
import type { BlockEvent, BlockFact, Evidence } from '../../src/blocks/events.js';
import { NOTHING_YET, evolve } from '../../src/blocks/state.js';
import type { Standing } from '../../src/blocks/state.js';
import type { ErrorCode } from '../../src/kernel/errors.js';
import { StopgapError } from '../../src/kernel/errors.js';
import type { Instant } from '../../src/kernel/time.js';
import { HOUR } from '../../src/kernel/time.js';
import type { Subject } from '../../src/sending/subjects.js';

export const T0: Instant = Date.UTC(2026, 2, 1, 12);
export const ALICE: Subject = { type: 'account', value: 'alice@example.com' };

/** A fact that happened at an instant, by default T0; in a list, positions are 10, 20, 30 … */
export function at(instant: Instant, fact: BlockFact): BlockFact {
  return { ...fact, at: instant };
}

/** Evidence with defaults: positions 100 to 200, of rule `burst`, at T0. */
export function evidence(more: Partial<Evidence> = {}): Evidence {
  return {
    rule: 'burst',
    version: 1,
    count: 'recipients',
    window: 600_000,
    limit: 100,
    observed: 101,
    firstPosition: 100,
    lastPosition: 200,
    lastAt: T0,
    sentence: 'Account alice@example.com: 101 recipients within 10m; rule "burst" allows 100.',
    ...more,
  };
}

export function terms(more: Partial<RuleTerms> = {}): RuleTerms {
  return {
    direction: 'outbound',
    description: 'too many recipients',
    refusal: 'soft',
    duration: HOUR,
    escalate: undefined,
    lapse: 24 * HOUR,
    renewWhileTrying: false,
    ...more,
  };
}

/** Puts the envelope around facts as the store and the responder would. */
export function recorded(facts: readonly BlockFact[], first = 10, step = 10): readonly BlockEvent[] {
  return facts.map((fact, index) => ({
    ...fact,
    id: `event-${first + index * step}`,
    at: fact.at ?? T0,
    by: fact.by ?? 'system:test',
    position: first + index * step,
    revision: index,
  }));
}

export function standing(facts: readonly BlockFact[]): Standing {
  return recorded(facts).reduce(evolve, NOTHING_YET);
}

interface When {
  /** The command yields just these facts. */
  then(facts: readonly BlockFact[]): void;
  /** The command is refused with this code; `state` is what a conflict says that the block is. */
  thenError(code: ErrorCode, state?: string): void;
  facts(): readonly BlockFact[];
}

interface Given {
  when(command: At<BlockCommand>): When;
}

/** given([facts]).when(command).then([facts]) */
export function given(facts: readonly BlockFact[]): Given {
  return {
    when(command) {
      const run = (): readonly BlockFact[] => decide(command, standing(facts));
      return {
        then(expected) {
          assert.deepEqual(run(), expected);
        },
        thenError(code, state) {
          assert.throws(run, (error) => {
            assert.ok(error instanceof StopgapError, String(error));
            assert.equal(error.code, code, error.message);
            if (state !== undefined) assert.equal(error.details['state'], state);
            return true;
          });
        },
        facts: run,
      };
    },
  };
}
