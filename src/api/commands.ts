import type { CommandContext } from '../desks/block-desk.js';
import type { BlockCommand } from '../blocks/commands.js';
import type { BlockFact } from '../blocks/events.js';
import { blockStream, isBlockEvent } from '../blocks/events.js';
import { idOf } from '../ids.js';
import { StopgapError } from '../kernel/errors.js';
import { SECOND } from '../kernel/time.js';
import { decisionFields } from '../log/decisions.js';
import type { Subject } from '../sending/subjects.js';
import type { ExpectedRevision } from '../store/port.js';
import { WrongExpectedRevision } from '../store/port.js';
import type { ApiDependencies } from './dependencies.js';
import { within } from './http/deadline.js';
import { ifMatch, preconditionFailed } from './http/etag.js';
import type { Ask } from './http/route.js';

/** How long the read models may take to fold what was just written. */
const FOLD_PATIENCE = 5 * SECOND;
/** A decision yields no more facts than this: an expiry, a lapse, an approval and a block. */
const MOST_FACTS = 4;
const ATTEMPTS = 8;

export interface Outcome {
  /** What came of it; empty where there was nothing left to do. */
  readonly facts: readonly BlockFact[];
  /** True where the same request had been carried out before: nothing was written now. */
  readonly repeated: boolean;
}

/** Carries out a caller's commands so that If-Match, Idempotency-Key and read-after-write hold. */
export class Commands {
  readonly #deps: ApiDependencies;

  constructor(deps: ApiDependencies) {
    this.#deps = deps;
  }

  /**
   * Resolves when the read models show what came of it.
   *
   * @param block the block whose version If-Match speaks of
   * @throws StopgapError as `decide` does; `precondition-failed`; StoreUnavailable
   */
  async carryOut(
    ask: Ask<unknown, unknown>,
    subject: Subject,
    command: BlockCommand,
    block?: string,
  ): Promise<Outcome> {
    const { seed, caller, requestId, trace } = ask;
    const matches = block === undefined ? undefined : ifMatch(ask.request);
    const context = { by: `admin:${caller.name}`, correlation: `request:${requestId}`, seed, trace };
    for (let attempt = 1; ; attempt++) {
      let expected: ExpectedRevision | undefined;
      if (seed !== undefined || matches !== undefined) {
        const { before, revision, version, position } = await this.#inspect(subject, seed, block);
        if (before.length > 0) {
          await this.#folded(position);
          return { facts: before, repeated: true };
        }
        if (matches !== undefined) {
          if (!matches(version)) throw preconditionFailed(`block ${block}`, version);
          expected = revision;
        }
      }
      try {
        return await this.#execute(subject, command, { ...context, revision: expected });
      } catch (thrown) {
        if (!(thrown instanceof WrongExpectedRevision)) throw thrown;
        if (attempt === ATTEMPTS || expected === undefined) {
          throw new StopgapError('conflict', 'others are changing the same thing just now: try again');
        }
      }
    }
  }

  async #execute(subject: Subject, command: BlockCommand, context: CommandContext): Promise<Outcome> {
    const { desk, log } = this.#deps;
    try {
      const executed = await desk.execute(subject, command, context);
      const { facts, position } = executed;
      await this.#folded(position ?? (await this.#lastPosition(subject)));
      if (facts.length > 0)
        log.info(
          decisionFields(context.by, subject, executed, context.correlation),
          'an administrator decided',
        );
      return { facts, repeated: false };
    } catch (thrown) {
      // What is shown with the conflict must be what the decision saw.
      if (thrown instanceof StopgapError && thrown.code === 'conflict') {
        await this.#folded(await this.#lastPosition(subject));
      }
      throw thrown;
    }
  }

  /** Resolves when the event at this position shows in the read models. */
  async #folded(position: number): Promise<void> {
    const { clock, models } = this.#deps;
    const message = 'the change is recorded, but the read models have not caught up with it yet';
    await within(clock, models.reached(position), FOLD_PATIENCE, message);
  }

  async #lastPosition(subject: Subject): Promise<number> {
    const newest = this.#deps.store.readStream(blockStream(subject), { direction: 'backwards', limit: 1 });
    for await (const { position } of newest) return position;
    return 0;
  }

  /** What the stream says: whether this request was carried out before, and at which version the block is. */
  async #inspect(
    subject: Subject,
    seed: string | undefined,
    block: string | undefined,
  ): Promise<{
    before: readonly BlockFact[];
    revision: ExpectedRevision;
    version: number;
    position: number;
  }> {
    const own = new Set(
      seed === undefined ? [] : Array.from({ length: MOST_FACTS }, (_, i) => idOf(`${seed}/${i}`)),
    );
    const before: BlockFact[] = [];
    let revision: ExpectedRevision = 'none';
    let version = 0;
    let position = 0;
    for await (const event of this.#deps.store.readStream(blockStream(subject))) {
      ({ revision, position } = event);
      if (!isBlockEvent(event)) continue;
      if ('block' in event.data && event.data.block === block) version = event.position;
      if (own.has(event.id)) before.push(event);
    }
    return { before, revision, version, position };
  }
}
