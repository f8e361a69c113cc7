import type { Logger } from 'pino';
import { WatchedFile } from '../accounts/watched-file.js';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { RulesMetrics } from '../metrics/metrics.js';
import type { OverrideCommandHandler } from './override-commands.js';
import { carryOutBatch } from './override-commands.js';
import type { OverrideCommand } from '../overrides/decide.js';
import type { OverrideEntry } from '../overrides/model.js';
import { OVERRIDE_TYPES, unusedLimits } from '../overrides/model.js';
import { parseAside } from '../parsing/aside.js';
import type { ReadModels } from '../detector/read-models.js';
import { subjectKey } from '../sending/subjects.js';
import { refused, restored } from '../watched-files.js';

const BY = 'system:overrides-file';
/** How long until a retry of changes that the store did not take. */
const AGAIN_AFTER = 30 * SECOND;

interface OverridesFileOptions {
  /** Undefined if none is configured: then what a former one had set ends at the start. */
  readonly path: string | undefined;
  readonly overrideCommands: OverrideCommandHandler;
  readonly models: ReadModels;
  readonly clock: AlarmClock;
  readonly log: Logger;
  readonly metrics: Pick<RulesMetrics, 'fileRefused'>;
}

/**
 * The overrides file, watched: its entries are in force, and removed entries end. It does not touch what the API has
 * set. A file that cannot be used is refused with its reasons in the log, and what was in force stays.
 */
export class OverridesFile {
  readonly #options: OverridesFileOptions;
  readonly #watched: WatchedFile<readonly OverrideEntry[]> | undefined;
  #isRefused = false;
  #work: Promise<void> = Promise.resolve();
  #stopped = false;
  #cancelRetry = (): void => undefined;

  private constructor(options: OverridesFileOptions) {
    this.#options = options;
    const { path, log, metrics } = options;
    if (path === undefined) return;
    this.#watched = new WatchedFile({
      path,
      parseBytes: (bytes) => parseAside('overrides', bytes, path),
      entries: (entries) => entries.length,
      onChange: () => this.#next(() => this.#changed()),
      onRefused: (faults, isDoubtful) => {
        this.#isRefused = true;
        refused(log, metrics, 'overrides')(faults, isDoubtful);
      },
      onRestored: () => this.#restored(),
    });
  }

  /** Reads the file for the first time. @throws ConfigError; the system's error if it cannot be read */
  static async open(options: OverridesFileOptions): Promise<OverridesFile> {
    const file = new OverridesFile(options);
    await file.#watched?.load();
    return file;
  }

  /**
   * Makes the overrides in force match the file, for the first time; the read models must be caught up. From then on a
   * changed file is taken over within seconds.
   *
   * @throws StoreUnavailable
   */
  async start(): Promise<void> {
    await this.#reconcile();
    this.#watched?.start();
  }

  /** Checks the file now; resolves when its content is in force, or was refused. */
  async check(): Promise<void> {
    await this.#watched?.check();
    await this.#work;
  }

  /** As {@link check}, but also takes over a file that has lost most of its entries. */
  async reload(): Promise<void> {
    await this.#watched?.reload();
    await this.#work;
  }

  /** Takes over nothing more; work under way ends with the store. */
  stop(): void {
    this.#stopped = true;
    this.#watched?.stop();
    this.#cancelRetry();
  }

  /** Logs that the file is in order again, even if its content is already in force. */
  async #changed(): Promise<void> {
    if (!(await this.#reconcile()) && this.#isRefused) this.#restored();
    this.#isRefused = false;
  }

  /** @returns whether anything changed */
  async #reconcile(): Promise<boolean> {
    const { overrideCommands, models, clock, log } = this.#options;
    const entries = this.#watched?.current ?? [];
    const listed = new Set(entries.map(({ subject }) => subjectKey(subject)));
    const commands: OverrideCommand[] = entries.map((entry) => ({ kind: 'set', origin: 'file', ...entry }));
    for (const type of OVERRIDE_TYPES) {
      for (const { subject, file } of models.overrides.all(type)) {
        if (file === undefined || listed.has(subjectKey(subject))) continue;
        commands.push({ kind: 'remove', origin: 'file', subject });
      }
    }
    const done = await carryOutBatch({ overrideCommands, models, clock }, commands, () => ({ by: BY }));
    const { set, removed, unchanged, position } = done;
    await models.reached(position);
    if (set + removed === 0) return false;
    if (this.#watched === undefined) {
      log.warn({ removed }, 'no overrides file is configured: what one had set has ended');
      return true;
    }
    const { rules } = models.sendVolume.rules;
    const unused = entries.filter(({ terms }) => unusedLimits(terms, rules).length > 0).length;
    log.info({ set, removed, unchanged, unused }, 'the overrides file is in force');
    return true;
  }

  #restored(): void {
    this.#isRefused = false;
    restored(this.#options.log, 'overrides')();
  }

  /** One after the other: the newest file wins. */
  #next(work: () => Promise<void>): void {
    this.#cancelRetry();
    this.#work = this.#work.then(async () => {
      if (this.#stopped) return;
      try {
        await work();
      } catch (error) {
        if (this.#stopped) return;
        const { log, clock } = this.#options;
        log.error(
          { error: messageOf(error) },
          'overrides of the file could not be recorded; it is tried again',
        );
        const again = (): void => this.#next(async () => void (await this.#reconcile()));
        this.#cancelRetry = clock.after(AGAIN_AFTER, again);
      }
    });
  }
}
