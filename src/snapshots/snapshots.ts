import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { Anchor, ProjectorState } from '../detector/projector.js';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { MINUTE, SECOND } from '../kernel/time.js';
import type { Verdict } from '../rules/respond.js';
import type { EventStore } from '../store/port.js';
import { StoreUnavailable } from '../store/port.js';
import { SnapshotFolder, SnapshotRefused } from './snapshot-file.js';

/** What is folded from the store, and can go on from what it was. */
export interface Snapshotted {
  readonly position: number;
  /** True once it has caught up. */
  readonly ready: boolean;
  /** Plain data that nobody changes; made in milliseconds. */
  dump(): ProjectorState;
  /** Takes over what its own {@link dump} gave. If it throws, nothing has changed. */
  restore(state: ProjectorState): void;
}

export interface SnapshotOptions {
  /** Folder that they lie in; made if there is none. May be deleted at any time. */
  readonly folder: string;
  readonly categories: readonly string[];
  readonly models: Snapshotted;
  /** Verdicts that no event folded up to now has answered; none unless given. */
  readonly unanswered?: () => readonly Verdict[];
  readonly clock: Pick<AlarmClock, 'now' | 'monotonic'>;
  readonly log: Logger;
  /** Events folded from one snapshot to the next, at most; 250,000 by default. */
  readonly every?: number;
  /** Told of each that was written, and of the one that a start begins with: when it was made. */
  readonly onSnapshot?: (at: Instant) => void;
  /** Told of each that could not be written. */
  readonly onFailed?: () => void;
  /** Time from one snapshot to the next while anything is folded; 15 minutes by default. */
  readonly within?: Milliseconds;
  /** How long what happened is kept, at least: an event that is younger than this and not there was never there. */
  readonly kept: Milliseconds;
}

interface State {
  readonly models: ProjectorState;
  readonly unanswered: readonly Verdict[];
}

const EVERY = 250_000;
const WITHIN = 15 * MINUTE;
/** A replay writes more rarely: its snapshots only matter should it be killed. */
const RARER_WHILE_CATCHING_UP = 8;
/** How long the end of the process waits for the last one. */
const LAST_WITHIN: Milliseconds = 3 * SECOND;

/**
 * Snapshots of the read models: they make a start faster and change nothing else. Each is made between two events, in one
 * go, and written while the next events are folded.
 */
export class Snapshots {
  readonly #options: SnapshotOptions;
  readonly #folder: SnapshotFolder;
  readonly #every: number;
  readonly #within: Milliseconds;
  readonly #abort = new AbortController();
  /** Events that came since the last one. */
  #since = 0;
  /** By the monotonic clock. */
  #lastAt: Milliseconds;
  #writing: Promise<void> | undefined;

  private constructor(options: SnapshotOptions, fingerprint: string) {
    this.#options = options;
    this.#folder = new SnapshotFolder(options.folder, { fingerprint, categories: options.categories });
    this.#every = options.every ?? EVERY;
    this.#within = options.within ?? WITHIN;
    this.#lastAt = options.clock.monotonic();
  }

  static async open(options: SnapshotOptions): Promise<Snapshots> {
    return new Snapshots(options, await foldingFingerprint());
  }

  /**
   * Puts the newest usable snapshot into the read models, before they follow the store. The log names each snapshot
   * that cannot be used.
   *
   * @returns the verdicts that no event up to there has answered
   * @throws StoreUnavailable: to go through everything again costs far more than to wait for a store that has just gone
   */
  async restore(store: Pick<EventStore, 'head' | 'readStream'>): Promise<readonly Verdict[]> {
    const { models, log, clock, kept } = this.#options;
    for (const file of await this.#files()) {
      try {
        const state = (await this.#folder.read(file, await store.head())) as State;
        await checkAnchors(state.models, store, clock.now() - kept);
        const madeAt = await this.#folder.madeAt(file);
        models.restore(state.models);
        this.#options.onSnapshot?.(madeAt);
        log.info({ file, position: models.position }, 'the read models start from a snapshot');
        return state.unanswered;
      } catch (error) {
        if (error instanceof StoreUnavailable) throw error;
        const reason = messageOf(error);
        log.warn({ file, reason }, 'a snapshot is not used: an older one is, or all events are folded');
      }
    }
    return [];
  }

  /** Call it after each event: it begins a snapshot if one is due. */
  folded(): void {
    this.#since++;
    if (this.#writing !== undefined || this.#abort.signal.aborted || !this.#isDue()) return;
    this.#writing = this.#write().finally(() => (this.#writing = undefined));
  }

  /** Resolves when none is being written. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  /** Writes none any more; one that is being written is given up. */
  async abandon(): Promise<void> {
    this.#abort.abort(new Error('the log that it is of is gone'));
    await this.#writing;
  }

  /** Writes the last one, where anything was folded since, within three seconds or not at all. */
  async close(): Promise<void> {
    const timer = setTimeout(() => this.#abort.abort(new Error('it took too long')), LAST_WITHIN);
    try {
      await this.#writing;
      if (this.#since > 0 && !this.#abort.signal.aborted) await this.#write();
    } finally {
      clearTimeout(timer);
      this.#abort.abort(new Error('the process ends'));
    }
  }

  async #files(): Promise<readonly string[]> {
    try {
      return await this.#folder.list();
    } catch (error) {
      const { folder, log } = this.#options;
      log.warn({ folder, reason: messageOf(error) }, 'snapshots cannot be looked for: all events are folded');
      return [];
    }
  }

  #isDue(): boolean {
    const { models, clock } = this.#options;
    if (!models.ready) return this.#since >= this.#every * RARER_WHILE_CATCHING_UP;
    return this.#since >= this.#every || clock.monotonic() >= this.#lastAt + this.#within;
  }

  /** Never rejects: without a snapshot, only the next start is slower. */
  async #write(): Promise<void> {
    const { models, unanswered = () => [], clock, log, folder, onSnapshot, onFailed } = this.#options;
    this.#since = 0;
    this.#lastAt = clock.monotonic();
    try {
      // Both in the same turn, after the same event.
      const state: State = { models: models.dump(), unanswered: unanswered() };
      const { position } = state.models;
      const bytes = await this.#folder.write(position, state, this.#abort.signal);
      log.debug({ position, bytes }, 'a snapshot of the read models was written');
      onSnapshot?.(this.#lastAt);
    } catch (error) {
      onFailed?.();
      log.warn(
        { folder, reason: messageOf(error) },
        'a snapshot could not be written: the next start is slower',
      );
    }
  }
}

/**
 * Looks whether the events that a snapshot ends with are those of this store: it may be another, or have been restored
 * from a backup and gone on differently. Sends may be gone by their age, and then say nothing.
 *
 * @param keptSince what happened later than this is still there
 */
async function checkAnchors(
  { anchors: [last, kept], lastEventAt }: ProjectorState,
  store: Pick<EventStore, 'readStream'>,
  keptSince: Instant,
): Promise<void> {
  for (const anchor of [last, kept]) {
    if (anchor === undefined) continue;
    const { stream, revision, id, position } = anchor;
    let found: Anchor | undefined;
    for await (const event of store.readStream(stream, { from: revision, limit: 1 })) found = event;
    const gone = found === undefined || found.revision !== revision;
    if (gone && anchor === last && last.position !== kept?.position && lastEventAt < keptSince) continue;
    if (gone || found!.id !== id || found!.position !== position) {
      throw new SnapshotRefused(`it was made from another store: ${stream} has another event ${revision}`);
    }
  }
}

/** All that decides what events are folded into, seen from the folder of this program that holds `src`. */
export const FOLDING: readonly string[] = [
  'projections',
  'src/blocks',
  'src/forgetting',
  'src/kernel',
  'src/overrides',
  'src/rules',
  'src/sending',
  'src/sessions',
  'src/detector/projector.js',
  'src/detector/read-models.js',
];

/**
 * Names the code that folds, as SHA-256 of its files: the folded state of another version is of no use here: its layout
 * or its counting may differ.
 */
async function foldingFingerprint(): Promise<string> {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const hash = createHash('sha256');
  for (const entry of FOLDING) {
    const found = entry.endsWith('.js') ? [entry] : await scripts(root, entry);
    for (const file of found) hash.update(`${file}\n`).update(await readFile(path.join(root, file)));
  }
  return hash.digest('hex');
}

async function scripts(root: string, folder: string): Promise<readonly string[]> {
  const names = await readdir(path.join(root, folder), { recursive: true });
  return names
    .filter((name) => name.endsWith('.js'))
    .sort()
    .map((name) => `${folder}/${name}`);
}
