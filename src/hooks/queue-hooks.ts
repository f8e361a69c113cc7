import type { Logger } from 'pino';
import type { BlockEntry, HookTask } from '../../projections/blocks/block-entry.js';
import { hookTasksOf, isEnded, mayHoldQueue, settledThrough } from '../../projections/blocks/block-entry.js';
import type { BlockFact, HookRan } from '../blocks/events.js';
import type { BlockCommandHandler } from '../commands/block-commands.js';
import { entryNamed } from '../detector/ledger-entries.js';
import type { ReadModels } from '../detector/read-models.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { AlarmClock } from '../kernel/time.js';
import { MINUTE, SECOND } from '../kernel/time.js';
import type { HookMetrics } from '../metrics/hooks.js';
import { pauseAfter } from '../runtime/clock.js';
import { envelope, idOf } from '../runtime/ids.js';
import type { CalledEvent, HeldEvent } from '../sending/events.js';
import { calledStream, heldStream, isHeldEvent, isQueueId, QUEUE_HOLDER } from '../sending/events.js';
import type { EventStore } from '../store/port.js';
import type { HookCall, HookOptions } from './call.js';
import { actedOn, callHook, firstLines, HookFailed } from './call.js';
import type { Held, Message } from './held-mail.js';
import { byBlock, heldId, movedFrom, recentSends, recordMoved, withoutOthers } from './held-mail.js';

export interface QueueHooksOptions extends HookOptions {
  readonly store: EventStore;
  readonly models: Pick<ReadModels, 'ledger' | 'heldMail' | 'reached' | 'refusing'>;
  readonly blockCommands: BlockCommandHandler;
  readonly clock: AlarmClock;
  readonly log: Logger;
  readonly metrics: HookMetrics;
}

/** Ids that one call names. */
const IDS_AT_ONCE = 500;
/** Calls for one thing before it is given up: about ten minutes. */
const ATTEMPTS = 8;
const PAUSES = { first: 5 * SECOND, most: 5 * MINUTE };

/**
 * A mail server has said that it holds a message, and for so long it may not be on hold yet: Postfix asks before its milters, and
 * waits for one up to `milter_content_timeout`.
 */
const ON_ITS_WAY = 5 * MINUTE;
/** The pause before it is looked for again is the one after so many failures. */
const AS_AFTER = 3;

/** Messages of one login, each with what is known of it. */
type Batch = readonly [account: string | null, messages: readonly Message[]];

const UNHEARD =
  'a call failed or was cut off, and is not made again, since the block has ended or is more than a day old: mail of this sender may be on hold that is listed nowhere. Look with mailq; postsuper -H ID or exim -Mt ID lets a message go, and stopgap block held --release all of them within two days';

/** Events that a call which failed is made again for at once: a person has decided, or the block is over. Others a sender can cause. */
const DECIDING: ReadonlySet<BlockFact['type']> = new Set([
  'BlockReleased',
  'BlockExpired',
  'HeldMailDecided',
]);

/** How the hook is called. @see HookCall.again */
type Calling = Pick<HookTask, 'action'> & { readonly isAgain: boolean };

/** What the calls for one task came to. */
interface Done {
  asked: number;
  acted: number;
  /** Messages that stay on hold for other blocks. */
  moved: number;
  through: number | undefined;
  output: string;
  /** Ids of what may not be on hold yet. */
  readonly onItsWay: Set<string>;
}

/** What has left the queue for a task that is not over. */
interface Gone {
  readonly block: string;
  readonly task: HookTask;
  readonly ids: Set<string>;
}

const nothingDone = (): Done => ({
  asked: 0,
  acted: 0,
  moved: 0,
  through: undefined,
  output: '',
  onItsWay: new Set(),
});

/**
 * Calls the hook for what has happened to blocks: one call at a time, and each until it is recorded what came of it. What
 * is to be done follows from the events alone, so a process that was killed goes on at its next start.
 */
export class QueueHooks {
  readonly #options: QueueHooksOptions;
  /** Ids of blocks to look at, each with whether mail was held after its release. */
  readonly #waiting = new Map<string, boolean>();
  /** Blocks whose next attempt has its time, by id. */
  readonly #paused = new Map<string, () => void>();
  /** Failures in a row, by block and cause. */
  readonly #failures = new Map<string, number>();
  /** What calls for a task that is not over have released or deleted: it has left the queue. By block and cause. */
  readonly #gone = new Map<string, Gone>();
  /** Of these, what was done for decisions that others have replaced: no later call names it. By block. */
  readonly #left = new Map<string, Set<string>>();
  /** Id of the block that is being looked at. */
  #current: string | undefined;
  readonly #closing = new AbortController();
  #working: Promise<void> | undefined;

  constructor(options: QueueHooksOptions) {
    this.#options = options;
  }

  /** Looks at all blocks again: after a start, or with another log. */
  adopt(): void {
    this.#failures.clear();
    this.#gone.clear();
    this.#left.clear();
    for (const cancel of this.#paused.values()) cancel();
    this.#paused.clear();
    this.#waiting.clear();
    const { clock, models } = this.#options;
    const now = clock.now();
    for (const entry of models.ledger.kept()) {
      // An earlier process may have begun what nothing asks for any more.
      if (hookTasksOf(entry, now).length > 0 || mayHoldQueue(entry, now)) this.#wait(entry.id, false);
    }
    // Mail stays on hold for longer than its block is in memory.
    for (const entry of models.heldMail.unsettled())
      if (models.ledger.get(entry.id) === undefined && hookTasksOf(entry, now).length > 0)
        this.#wait(entry.id, false);
  }

  /** Something has happened to a block. */
  look(block: string, type: BlockFact['type']): void {
    // What is under way sees it, or else is tried again in its time.
    if (!DECIDING.has(type) && (this.#paused.has(block) || this.#current === block)) return;
    this.#unpause(block);
    this.#wait(block, false);
  }

  /** Mail was held. Of a block that has ended, a decision to release holds for this too. */
  held(event: RecordedEvent): void {
    if (!isHeldEvent(event)) return;
    const { ledger } = this.#options.models;
    const block = ledger.nameOf(event.data.block);
    const entry = ledger.get(block);
    // What has left memory has ended.
    const hasEnded = entry === undefined ? ledger.has(block) : isEnded(entry);
    if (hasEnded && !this.#paused.has(block)) this.#wait(block, true);
  }

  /** Ends a call under way: it is made again at the next start. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const cancel of this.#paused.values()) cancel();
    await this.#working;
  }

  #unpause(block: string): void {
    this.#paused.get(block)?.();
    this.#paused.delete(block);
  }

  #wait(block: string, isLate: boolean): void {
    if (this.#closing.signal.aborted) return;
    this.#waiting.set(block, isLate || this.#waiting.get(block) === true);
    this.#gauge();
    this.#working ??= this.#work();
  }

  #gauge(): void {
    this.#options.metrics.waiting(this.#waiting.size + this.#paused.size);
  }

  async #work(): Promise<void> {
    // What has just happened is folded as a whole first.
    await Promise.resolve();
    for (const [block, isLate] of this.#waiting) {
      if (this.#closing.signal.aborted) break;
      this.#waiting.delete(block);
      this.#unpause(block);
      this.#current = block;
      await this.#lookAt(block, isLate);
      this.#current = undefined;
      this.#gauge();
    }
    this.#working = undefined;
  }

  /** Does what is asked for of a block, one thing after the other: none overtakes one that is to be tried again. */
  async #lookAt(block: string, isLate: boolean): Promise<void> {
    const { clock } = this.#options;
    const seen = new Set<number>();
    let isAsked = false;
    for (;;) {
      let entry: BlockEntry | undefined;
      try {
        entry = await entryNamed(this.#options, block);
      } catch (fault) {
        this.#pause(block, 1, fault);
        return;
      }
      if (entry === undefined || this.#closing.signal.aborted) return;
      const tasks = hookTasksOf(entry, clock.now());
      if (!(await this.#replaced(entry, tasks))) return;
      const unheard: HookTask | undefined = isAsked ? undefined : this.#unheard(entry, tasks);
      isAsked ||= unheard !== undefined;
      const task =
        unheard ?? tasks.find(({ cause, last }) => !seen.has(cause) && (last !== 'failed' || isLate));
      if (task === undefined) return;
      seen.add(task.cause);
      if (!(await this.#try(entry, task, task === unheard))) return;
      // What has happened meanwhile is seen to here. Mail that was held after the release is looked for once more.
      if (this.#waiting.get(block) === false) this.#waiting.delete(block);
    }
  }

  /**
   * A call that was to hold what waits in the queue, if there was one: nothing is known of its end, so it may have held some. It is
   * not made again, and no release is to let go of that.
   */
  #unheard(entry: BlockEntry, tasks: readonly HookTask[]): HookTask | undefined {
    const { history } = entry;
    const cause = history.find(({ type }) => type === 'BlockImposed')?.position;
    if (cause === undefined || !mayHoldQueue(entry, this.#options.clock.now())) return undefined;
    if (tasks.some(({ action, isFinal }) => action === 'hold-queue' || isFinal)) return undefined;
    if (history.some(({ hook }) => hook?.action === 'hold-queue')) return undefined;
    return { action: 'hold-queue', cause, isFinal: false, last: undefined };
  }

  /**
   * Records what was done of decisions that others have replaced.
   *
   * @returns whether that could be recorded; else it is tried again, after a pause
   */
  async #replaced(entry: BlockEntry, tasks: readonly HookTask[]): Promise<boolean> {
    for (const { block, task, ids } of this.#gone.values()) {
      if (block !== entry.id || tasks.some(({ cause }) => cause === task.cause)) continue;
      const done = { ...nothingDone(), asked: ids.size, acted: ids.size };
      this.#left.set(block, new Set([...(this.#left.get(block) ?? []), ...ids]));
      try {
        await this.#report(entry, task, 'replaced', done);
      } catch (fault) {
        return this.#pause(entry.id, 1, fault);
      }
    }
    return true;
  }

  /** Whether it is still to be done: people change their minds while the hook is at work. */
  async #isWanted({ id }: BlockEntry, { action, cause }: HookTask): Promise<boolean> {
    if (action === 'hold-queue') return true;
    const entry = await entryNamed(this.#options, id);
    if (entry === undefined) return true;
    return hookTasksOf(entry, this.#options.clock.now()).some((task) => task.cause === cause);
  }

  /** Whether a call has begun that was to hold what waits in the queue, by this process or an earlier one. */
  async #wasCalled(block: string): Promise<boolean> {
    for await (const { type } of this.#options.store.readStream(calledStream(block), { limit: 1 }))
      if (type === 'HookCalled') return true;
    return false;
  }

  /** Records that such a call begins. A later process could not know it otherwise. */
  async #begins(block: string): Promise<void> {
    const { store, clock } = this.#options;
    const fact: CalledEvent = { type: 'HookCalled', data: { block } };
    const idAt = (): string => idOf(`called/${block}`);
    await store.append(calledStream(block), envelope([fact], { by: QUEUE_HOLDER, idAt }, clock.now()), 'any');
  }

  /** @returns whether it has come to an end; else it is tried again, after a pause */
  async #try(entry: BlockEntry, task: HookTask, isUnheard: boolean): Promise<boolean> {
    const done = nothingDone();
    const { action } = task;
    const missing = new Set<string>();
    try {
      const isAgain = action === 'hold-queue' && (await this.#wasCalled(entry.id));
      if (isUnheard) {
        if (isAgain) await this.#report(entry, task, 'failed', { ...done, output: UNHEARD });
        return true;
      }
      for await (const batch of this.#batches(entry, task, done)) {
        if (!(await this.#isWanted(entry, task))) return true;
        if (action === 'hold-queue' && !isAgain && done.asked === 0) await this.#begins(entry.id);
        const acted = await this.#call(entry, { action, isAgain }, batch, done);
        if (action === 'hold-queue') continue;
        this.#goes(entry, task, acted);
        for (const { transaction } of batch[1]) if (done.onItsWay.has(transaction)) missing.add(transaction);
        for (const { transaction } of acted) missing.delete(transaction);
      }
      if (missing.size > 0) {
        const { id: block } = entry;
        const count = missing.size;
        this.#options.log.info(
          { block, action, missing: count },
          'the hook is called again for what may not be on hold yet',
        );
        return this.#pause(block, AS_AFTER);
      }
      // A decision that this one has replaced may have left it nothing to do.
      const isSettled = done.asked + done.moved > 0 || this.#left.has(entry.id);
      if (isSettled) await this.#report(entry, task, 'done', done);
      return true;
    } catch (error) {
      return await this.#failed(entry, task, done, error).catch((fault: unknown) =>
        this.#pause(entry.id, 1, fault),
      );
    }
  }

  /** Remembers what a call has released or deleted, until its task is over. */
  #goes({ id: block }: BlockEntry, task: HookTask, messages: readonly Message[]): void {
    const key = `${block} ${task.cause}`;
    const { ids } = this.#gone.get(key) ?? { ids: new Set() };
    for (const { transaction } of messages) ids.add(transaction);
    if (ids.size > 0) this.#gone.set(key, { block, task, ids });
  }

  /** What calls have released or deleted for tasks that are not over: it is listed as held still. */
  #letGo(): ReadonlySet<string> {
    const gone = [...this.#gone.values()].flatMap(({ ids }) => [...ids]);
    return new Set([...gone, ...[...this.#left.values()].flatMap((ids) => [...ids])]);
  }

  /** What the hook is called for, in pieces. */
  async *#batches(
    entry: BlockEntry,
    { action, cause, isFinal, last }: HookTask,
    done: Done,
  ): AsyncGenerator<Batch> {
    if (action === 'hold-queue') {
      yield* inPieces(await recentSends(this.#options, entry, this.#letGo()));
      return;
    }
    const from = settledThrough(entry) + 1;
    const acts = async (held: readonly Held[]): Promise<readonly Message[]> =>
      (action === 'release' ? await this.#own(entry, held, done) : held).map(({ data }) => data);
    let held: Held[] = [];
    const since = this.#options.clock.now() - ON_ITS_WAY;
    const [gone, left] = [this.#gone.get(`${entry.id} ${cause}`), this.#left.get(entry.id)];
    done.asked += gone?.ids.size ?? 0;
    done.acted += gone?.ids.size ?? 0;
    // Mail that an earlier call has moved stays with the other block, even if that one has ended since.
    const moved = await movedFrom(this.#options.store, entry.id);
    const listed = new Set(moved.transactions);
    for await (const event of this.#options.store.readStream(heldStream(entry.id), { from })) {
      if (!isFinal && event.position > cause) break;
      done.through = event.revision;
      if (moved.revisions.has(event.revision)) done.moved++;
      else if (isHeldEvent(event)) {
        const { transaction } = event.data;
        if (gone?.ids.has(transaction) !== true && left?.has(transaction) !== true) held.push(event);
        listed.add(transaction);
        if (event.at > since && event.by !== QUEUE_HOLDER) done.onItsWay.add(transaction);
      }
      if (held.length < IDS_AT_ONCE) continue;
      yield* inPieces(await acts(held));
      held = [];
    }
    yield* inPieces(await acts(held));
    // The call that was to hold these may have been cut off. Letting go of what is not held does no harm.
    if (action !== 'release' || !isFinal || last !== undefined) return;
    if (!mayHoldQueue(entry, this.#options.clock.now()) || !(await this.#wasCalled(entry.id))) return;
    const letGo = this.#letGo();
    const recent = (await recentSends(this.#options, entry, letGo)).filter(
      ({ transaction }) => !listed.has(transaction) && !letGo.has(transaction),
    );
    const { own, others } = byBlock(this.#options, entry, recent, (message) => message);
    for (const [other, messages] of others) {
      const standing = this.#options.models.ledger.get(other);
      if (standing === undefined) continue;
      const kept = nothingDone();
      for (const batch of inPieces(messages)) {
        const acted = await this.#call(standing, { action: 'hold-queue', isAgain: true }, batch, kept);
        await recordMoved(
          this.#options,
          entry,
          other,
          acted.map(({ transaction }) => ({ transaction })),
        );
      }
      done.moved += kept.acted;
    }
    yield* inPieces(own);
  }

  async #own(entry: BlockEntry, held: readonly Held[], done: Done): Promise<readonly Held[]> {
    const own = await withoutOthers(this.#options, entry, held);
    done.moved += held.length - own.length;
    return own;
  }

  /** @returns what it acted on */
  async #call(
    { id: block, subject: { type, value } }: BlockEntry,
    { action, isAgain }: Calling,
    [account, messages]: Batch,
    done: Done,
  ): Promise<readonly Message[]> {
    const queueIds = messages.map(({ transaction }) => transaction);
    const asked = { action, block, subject: { type, value }, account, queueIds };
    const call: HookCall = isAgain ? { ...asked, again: true } : asked;
    const output = await callHook(this.#options, call, this.#closing.signal);
    const acted = new Set(actedOn(call, output));
    done.asked += queueIds.length;
    done.acted += acted.size;
    if (done.output === '') done.output = firstLines(output);
    const found = messages.filter(({ transaction }) => acted.has(transaction));
    if (action !== 'hold-queue' || found.length === 0) return found;
    const { store, clock } = this.#options;
    const events = found.flatMap((message) => {
      const { transaction: correlation } = message;
      const fact: HeldEvent = { type: 'MessageHeld', data: { ...message, block } };
      const idAt = (): string => heldId(block, correlation);
      return envelope([fact], { by: QUEUE_HOLDER, correlation, idAt }, clock.now());
    });
    await store.append(heldStream(block), events, 'any');
    return found;
  }

  async #report(
    { id: block, subject }: BlockEntry,
    { action, cause }: HookTask,
    outcome: HookRan['outcome'],
    { asked, acted, moved, through, output }: Done,
  ): Promise<void> {
    const { blockCommands, models, log, metrics } = this.#options;
    const ran = { block, action, cause, outcome, asked, acted, ...(moved > 0 ? { moved } : {}), output };
    const correlation = `event:${cause}`;
    const { position } = await blockCommands.execute(
      subject,
      { kind: 'hook', ...ran, ...(through === undefined ? {} : { through }) },
      { by: QUEUE_HOLDER, correlation },
    );
    this.#failures.delete(`${block} ${cause}`);
    this.#gone.delete(`${block} ${cause}`);
    if (outcome === 'done') this.#left.delete(block);
    if (outcome !== 'replaced') metrics.ran(action, outcome);
    const fields = { correlation, block, subject, action, asked, acted, ...(moved > 0 && { moved }), output };
    if (outcome !== 'failed') log.info(fields, 'the hook was called');
    else log.error(fields, 'the hook was given up');
    // Until this is folded the task would look as if it were new, and the next one as if it were about the same mail.
    await models.reached(position);
  }

  /** @returns whether it was given up */
  async #failed(entry: BlockEntry, task: HookTask, done: Done, error: unknown): Promise<boolean> {
    if (this.#closing.signal.aborted) return false;
    const { log, metrics } = this.#options;
    const { id: block } = entry;
    const isOurs = !(error instanceof HookFailed);
    // The block is not there any more: another log is followed.
    if (isOurs && error instanceof StopgapError && error.code === 'not-found') return false;
    if (isOurs) return this.#pause(block, 1, error);
    const key = `${block} ${task.cause}`;
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    metrics.ran(task.action, 'retried');
    const now = this.#options.clock.now();
    const known = (await entryNamed(this.#options, block)) ?? entry;
    // The block has ended meanwhile: what comes next is seen to at once.
    if (hookTasksOf(known, now).every(({ cause }) => cause !== task.cause)) return true;
    if (failures < ATTEMPTS) {
      const { action } = task;
      log.warn({ block, action, failures, error: error.message }, 'the hook failed: it is called again');
      return this.#pause(block, failures);
    }
    // Nothing is settled by it: another decision has all of it done again.
    await this.#report(entry, task, 'failed', { ...done, through: undefined, output: error.message });
    return true;
  }

  /** @param fault one of ours, such as a store that is away */
  #pause(block: string, failures: number, fault?: unknown): false {
    if (this.#closing.signal.aborted) return false;
    const { clock, log } = this.#options;
    if (fault !== undefined)
      log.warn({ block, error: messageOf(fault) }, 'what the hook did could not be recorded yet');
    this.#unpause(block);
    const cancel = clock.after(pauseAfter(failures, PAUSES), () => {
      this.#paused.delete(block);
      this.#wait(block, true);
    });
    this.#paused.set(block, cancel);
    return false;
  }
}

/** By login, and no more at a time than a call takes. What has no queue id is left out. */
function* inPieces(messages: readonly Message[]): Generator<Batch> {
  const known = messages.filter(({ transaction }) => isQueueId(transaction));
  const byAccount = new Map<string | null, Message[]>();
  for (const message of known) {
    const account = message.account ?? null;
    const own = byAccount.get(account);
    if (own === undefined) byAccount.set(account, [message]);
    else own.push(message);
  }
  for (const [account, own] of byAccount)
    for (let first = 0; first < own.length; first += IDS_AT_ONCE)
      yield [account, own.slice(first, first + IDS_AT_ONCE)];
}
