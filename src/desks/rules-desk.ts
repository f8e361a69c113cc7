import { envelope } from '../ids.js';
import type { Clock } from '../kernel/time.js';
import { DEFAULT_RULES } from '../rules/defaults.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { RulesChanged } from '../rules/model.js';
import { RULES_STREAM } from '../rules/model.js';
import { parseRules } from '../rules/parse.js';
import type { EventStore } from '../store/port.js';
import { WrongExpectedRevision } from '../store/port.js';

export interface RulesLoaded {
  readonly version: number;
  /** False where these very rules were in force already. */
  readonly changed: boolean;
  /** Position of the event; undefined without a change. */
  readonly position: number | undefined;
}

const ATTEMPTS = 5;

/** Puts rule sets in force: each change is an event, so that every verdict can name its version. */
export class RulesDesk {
  readonly #store: EventStore;
  readonly #clock: Clock;

  constructor(store: EventStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * Puts a rule set in force.
   *
   * @param options `expected`: the version that must be in force, undefined for any; `seed` and `trace`: see CommandContext
   * @throws InvalidRules; WrongExpectedRevision where another change came first; StoreUnavailable
   */
  async replace(
    source: string,
    origin: RulesChanged['origin'],
    by: string,
    options: {
      readonly name?: string;
      readonly expected?: number | undefined;
      readonly seed?: string | undefined;
      readonly trace?: string | undefined;
    } = {},
  ): Promise<RulesLoaded> {
    const rules = parseRules(source, options.name);
    const { newest, revision } = await this.#read(() => true);
    const version = newest?.version ?? 0;
    if (newest?.source === source && options.expected === undefined)
      return { version, changed: false, position: undefined };
    if (options.expected !== undefined && options.expected !== version)
      throw new WrongExpectedRevision(RULES_STREAM, versionAsRevision(options.expected), revision);
    const data: RulesChanged = { version: version + 1, rules, source, origin };
    const { seed, trace } = options;
    const events = envelope([{ type: 'RulesChanged', data }], { by, seed, trace }, this.#clock.now());
    const { position } = await this.#store.append(RULES_STREAM, events, revision);
    return { version: version + 1, changed: true, position };
  }

  /**
   * At the start, and whenever the file has changed: a file is put in force when it differs from the last file
   * that was, so that what was set through the API meanwhile stays until somebody edits the file.
   *
   * @param file its text; undefined where no rules file is configured
   * @param builtIn what is in force without one
   */
  async load(file: string | undefined, name: string, builtIn = DEFAULT_RULES): Promise<RulesLoaded> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#load(file, name, builtIn);
      } catch (error) {
        // Another detector was faster, most likely with the very same rules.
        if (!(error instanceof WrongExpectedRevision) || attempt === ATTEMPTS) throw error;
      }
    }
  }

  async #load(file: string | undefined, name: string, builtIn: string): Promise<RulesLoaded> {
    const newest = await this.current();
    if (file !== undefined) {
      parseRules(file, name);
      const lastFile = await this.#newest((change) => change.origin === 'file');
      if (lastFile?.source !== file) return this.replace(file, 'file', 'system:rules-file', { name });
    } else if (newest === undefined || (newest.origin === 'defaults' && newest.source !== builtIn)) {
      return this.replace(builtIn, 'defaults', 'system:defaults');
    }
    return { version: newest?.version ?? 0, changed: false, position: undefined };
  }

  /** The rule set in force, as recorded. */
  async current(): Promise<RulesChanged | undefined> {
    return this.#newest(() => true);
  }

  async #newest(wanted: (change: RulesChanged) => boolean): Promise<RulesChanged | undefined> {
    return (await this.#read(wanted)).newest;
  }

  /** The newest change that is wanted, and where the stream stands, whatever else is in it. */
  async #read(
    wanted: (change: RulesChanged) => boolean,
  ): Promise<{ newest: RulesChanged | undefined; revision: number | 'none' }> {
    let revision: number | 'none' = 'none';
    for await (const event of this.#store.readStream(RULES_STREAM, { direction: 'backwards' })) {
      if (revision === 'none') ({ revision } = event);
      if (isChange(event) && wanted(event.data)) return { newest: event.data, revision };
    }
    return { newest: undefined, revision };
  }
}

/** Anything else in the stream is passed over, as the read models do. */
function isChange(event: RecordedEvent): event is RecordedEvent & { data: RulesChanged } {
  const { version, source, rules } = (event.data ?? {}) as Partial<RulesChanged>;
  return (
    event.type === 'RulesChanged' &&
    Number.isSafeInteger(version) &&
    typeof source === 'string' &&
    Array.isArray(rules?.rules)
  );
}

const versionAsRevision = (version: number): number | 'none' => (version === 0 ? 'none' : version - 1);
