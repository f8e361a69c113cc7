import type { Logger } from 'pino';
import type { RulesChanged, SourcedRules } from '../rules/model.js';
import { InvalidRules } from '../rules/parse.js';
import type { RulesCommandHandler } from './rules-commands.js';

interface RulesLoaderOptions {
  readonly rulesCommands: RulesCommandHandler;
  /** The rules file as it was read last; undefined if none is configured. */
  readonly file: () => SourcedRules | undefined;
  /** The rules in force without a file. */
  readonly builtIn: string;
  /** Tries again while the store is away. */
  readonly insist: <T>(work: () => Promise<T>) => Promise<T>;
  readonly log: Logger;
}

/** Puts the rules in force that a detector is started with: those of its file, or the built-in ones of its version. */
export class RulesLoader {
  readonly #options: RulesLoaderOptions;
  #loading: Promise<void> = Promise.resolve();

  constructor(options: RulesLoaderOptions) {
    this.#options = options;
  }

  /** At the start. @throws InvalidRules; what `insist` throws */
  load(): Promise<void> {
    return this.#next(async () => {
      await this.#loadNewest();
      // What this process has read extends the built-in rules of its own version.
      await this.#renew('inForce');
      await this.#renew('shadow');
    });
  }

  /** After each change of the file. @throws as {@link load} */
  reload(): Promise<void> {
    return this.#next(() => this.#loadNewest());
  }

  /** One after the other: of two at once the older could come last. */
  #next(work: () => Promise<void>): Promise<void> {
    const loading = this.#loading.then(work);
    this.#loading = loading.catch(() => undefined);
    return loading;
  }

  async #loadNewest(): Promise<void> {
    const { rulesCommands, file, builtIn, insist, log } = this.#options;
    // The file may change while the store is waited for.
    const load = (): Promise<RulesChanged | undefined> => rulesCommands.load(file(), builtIn);
    const inForce = await insist(load);
    if (file() === undefined && inForce?.origin === 'file') {
      const { version } = inForce;
      log.warn({ version }, 'no rules file is configured: those that one had set stay in force');
    }
  }

  async #renew(which: 'inForce' | 'shadow'): Promise<void> {
    const { rulesCommands, insist, log } = this.#options;
    try {
      const renewed = await insist(() => rulesCommands.renew(which));
      if (renewed === undefined) return;
      const { version, before } = renewed;
      log.info({ which, version, before }, 'rules extend the built-in ones of this version');
    } catch (error) {
      if (!(error instanceof InvalidRules)) throw error;
      const { message } = error;
      log.warn(
        { which, error: message },
        'rules do not go with the built-in ones of this version: they stay as they were',
      );
    }
  }
}
