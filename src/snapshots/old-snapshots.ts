import { readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Logger } from 'pino';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { MINUTE } from '../kernel/time.js';

/** Between attempts to remove what could not be removed. */
const AGAIN: Milliseconds = MINUTE;

export interface OldSnapshotsOptions {
  /** The folder that all snapshots lie in. */
  readonly folder: string;
  readonly clock: Pick<AlarmClock, 'after'>;
  readonly log: Logger;
}

/** Snapshots that may hold somebody who was forgotten. They go from the disk as soon as the file system lets them go. */
export class OldSnapshots {
  readonly #options: OldSnapshotsOptions;
  #removing: Promise<void> = Promise.resolve();
  /** What lies in the folder that is old: what is written later is not. Undefined until that is known. */
  #old: Set<string> | undefined;
  #isKept = false;
  #stopped = false;
  #cancel = (): void => undefined;

  constructor(options: OldSnapshotsOptions) {
    this.#options = options;
  }

  /**
   * Removes all snapshots. Never rejects: what was folded from them is folded anew, so a process can go on beside those
   * that stay. It logs that they stay, and tries again by itself.
   */
  remove(): Promise<void> {
    this.#cancel();
    return (this.#removing = this.#removing.then(() => {
      this.#old = undefined;
      return this.#remove();
    }));
  }

  /** Tries no more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel();
    await this.#removing;
  }

  async #remove(): Promise<void> {
    const { folder, clock, log } = this.#options;
    const fault = await this.#fault();
    if (fault === undefined) {
      if (this.#isKept) log.info({ folder }, 'the old snapshots are removed');
      this.#isKept = false;
      return;
    }
    if (!this.#isKept) {
      log.warn(
        { folder, reason: messageOf(fault) },
        'old snapshots cannot be removed, and may hold somebody who was forgotten; it is tried again',
      );
    }
    this.#isKept = true;
    this.#cancel();
    if (!this.#stopped) {
      this.#cancel = clock.after(AGAIN, () => {
        this.#removing = this.#removing.then(() => this.#remove());
      });
    }
  }

  /** Removes what it can, but not the folder, which may be a mount point. @returns why something stays */
  async #fault(): Promise<unknown> {
    const { folder } = this.#options;
    let fault: unknown;
    try {
      this.#old ??= new Set(await readdir(folder));
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : error;
    }
    for (const name of this.#old) {
      try {
        await rm(path.join(folder, name), { recursive: true, force: true });
        this.#old.delete(name);
      } catch (error) {
        fault = error;
      }
    }
    return fault;
  }
}
