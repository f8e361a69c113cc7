import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { stateAt } from '../../projections/blocks/block-entry.js';
import { readIfThere, removeLeft, writePrivateFile } from '../accounts/private-file.js';
import type { ReadModels } from '../detector/read-models.js';
import type { ForgettingFact } from '../forgetting/events.js';
import { FORGETTING_STREAM } from '../forgetting/events.js';
import type { Person } from '../forgetting/person.js';
import { InvalidInput, StopgapError } from '../kernel/errors.js';
import { pseudonymOf } from '../kernel/pseudonym.js';
import type { Clock } from '../kernel/time.js';
import { envelope, idOf } from '../runtime/ids.js';
import type { Subject } from '../sending/subjects.js';
import type { EventStore, Forgotten } from '../store/port.js';
import type { CommandContext } from './handle-command.js';

/** In the data directory while somebody is being forgotten: an interrupted one goes on under the same pseudonym. */
export const FORGETTING_FILE = 'forgetting.json';

export interface ForgettingOptions {
  readonly store: Pick<EventStore, 'forget' | 'append'>;
  readonly models: ReadModels;
  readonly clock: Clock;
  /** The data directory. */
  readonly data: string;
  /** Eight hexadecimal digits; random unless given. */
  readonly newMark?: () => string;
}

export interface ForgottenPerson extends Forgotten {
  /** Null if nothing was known of the name: nothing stays. */
  readonly pseudonym: string | null;
  /** Of the event that says so; null if nothing was known of the name, so that there is nothing to say. */
  readonly position: number | null;
}

/** Forgets people, one at a time. */
export class ForgettingHandler {
  readonly #options: ForgettingOptions;
  #isBusy = false;

  constructor(options: ForgettingOptions) {
    this.#options = options;
  }

  /**
   * Takes a person out of the store, and records that it was done. Done again, it completes what was interrupted.
   *
   * @param subject an account or an address; where it is both, both are forgotten
   * @param check asked of each name before anything of it is erased; what it throws ends it
   * @throws InvalidInput; StopgapError `conflict` while a block or proposal of theirs is open, also one that begins
   *   meanwhile, or another is being forgotten; StoreUnavailable; what `check` throws
   */
  async execute(
    subject: Subject,
    context: Pick<CommandContext, 'by' | 'correlation'>,
    check: (name: string) => Promise<void> = () => Promise.resolve(),
  ): Promise<ForgottenPerson> {
    const { value: name } = subject;
    if (name.includes('*')) throw new InvalidInput('subject.value', 'one person at a time: no wildcards');
    this.#refuseOpen(name);
    if (this.#isBusy)
      throw new StopgapError('conflict', 'somebody else is being forgotten: try again when that is done');
    this.#isBusy = true;
    try {
      const unfinished = await this.#unfinished();
      if (unfinished !== undefined && unfinished.name !== name) {
        await check(unfinished.name);
        await this.#forget(unfinished, context, true);
      }
      await check(name);
      const isBegun = unfinished?.name === name;
      return await this.#forget(isBegun ? unfinished : await this.#begin(name), context, isBegun);
    } finally {
      this.#isBusy = false;
    }
  }

  /** A block that went on under a pseudonym would refuse nobody, and nobody could release it by name. */
  #refuseOpen(name: string): void {
    const { models, clock } = this.#options;
    for (const type of ['account', 'address'] as const) {
      const live = models.ledger.liveOn({ type, value: name });
      if (live === undefined) continue;
      const state = stateAt(live, clock.now());
      if (state !== 'active' && state !== 'proposed') continue;
      throw new StopgapError(
        'conflict',
        `the ${state === 'active' ? 'block' : 'proposal'} ${live.id} is about who is to be forgotten: ${state === 'active' ? 'release' : 'dismiss'} it first`,
        { block: live.id, state },
      );
    }
  }

  get #file(): string {
    return path.join(this.#options.data, FORGETTING_FILE);
  }

  async #unfinished(): Promise<Person | undefined> {
    const text = await readIfThere(this.#file);
    if (text === undefined) return undefined;
    try {
      const { name, pseudonym } = JSON.parse(text) as Partial<Person>;
      return typeof name === 'string' && typeof pseudonym === 'string' ? { name, pseudonym } : undefined;
    } catch {
      return undefined;
    }
  }

  async #begin(name: string): Promise<Person> {
    const { newMark = () => randomBytes(4).toString('hex') } = this.#options;
    const person = { name, pseudonym: pseudonymOf(newMark()) };
    await writePrivateFile(this.#file, JSON.stringify(person));
    return person;
  }

  /** Nothing may name them any more, nor what a killed process has left: only one of ours writes the file. */
  async #end(): Promise<void> {
    await rm(this.#file, { force: true });
    await removeLeft(this.#file);
  }

  async #forget(
    person: Person,
    { by, correlation }: Pick<CommandContext, 'by' | 'correlation'>,
    isBegun: boolean,
  ): Promise<ForgottenPerson> {
    const { store, clock } = this.#options;
    const { pseudonym } = person;
    // It takes minutes, and one that was interrupted may be of long ago: they may be blocked by now.
    const forgotten = await store.forget(person, () => this.#refuseOpen(person.name));
    const { erased, rewritten } = forgotten;
    // What was interrupted may have erased all. Else the event would have every process fold the log anew for nothing.
    if (!isBegun && erased + rewritten === 0) {
      await this.#end();
      return { ...forgotten, pseudonym: null, position: null };
    }
    const fact: ForgettingFact = { type: 'PersonForgotten', data: { pseudonym, erased, rewritten } };
    const idAt = (): string => idOf(`forgotten/${pseudonym}`);
    const events = envelope([fact], { by, correlation, idAt }, clock.now());
    const { position } = await store.append(FORGETTING_STREAM, events, 'any');
    await this.#end();
    return { ...forgotten, pseudonym, position };
  }
}
