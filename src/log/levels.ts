import type { Logger } from 'pino';
import type { LogLevel } from '../config/schema.js';
import { escaped } from '../kernel/printable.js';

export const COMPONENTS = [
  'app',
  'smtp',
  'policy',
  'relay',
  'rules',
  'api',
  'store',
  'expiry',
  'hooks',
  'notices',
  'snapshots',
  'files',
] as const;
/** Who logs: each can be louder or quieter than the rest. */
export type Component = (typeof COMPONENTS)[number];

/** The loggers of all components, and how much each lets through: changeable while the process runs. */
export class LogLevels {
  readonly #root: Logger;
  readonly #configured: LogLevel;
  readonly #loggers = new Map<Component, Logger>();
  /** Components with a level of their own. */
  readonly #own = new Set<Component>();

  constructor(root: Logger) {
    this.#root = root;
    this.#configured = root.level as LogLevel;
    for (const component of COMPONENTS) this.#loggers.set(component, root.child({ component }));
  }

  of(component: Component): Logger {
    return this.#loggers.get(component)!;
  }

  /** Of all that have none of their own. */
  get level(): LogLevel {
    return this.#root.level as LogLevel;
  }

  /** As the configuration has it. */
  get configured(): LogLevel {
    return this.#configured;
  }

  /** Only the components that differ. */
  get exceptions(): Readonly<Partial<Record<Component, LogLevel>>> {
    return Object.fromEntries([...this.#own].map((name) => [name, this.of(name).level as LogLevel]));
  }

  /**
   * Changes how much is logged: by one component, or by all, which replaces their own levels.
   *
   * @param by who wants it, for the line that tells of it
   */
  set(level: LogLevel, by: string, component?: Component, correlation?: string): void {
    const fields = {
      logLevel: level,
      by,
      ...(component && { scope: component }),
      ...(correlation && { correlation }),
    };
    const tell = (): void => this.of('app').info(fields, 'the log level was changed');
    // Said while it can be heard: before it gets quieter, after it has got louder.
    const audible = this.of('app').isLevelEnabled('info');
    if (audible) tell();
    this.#apply(level, component);
    if (!audible) tell();
  }

  /** Switches to debug, or back to the configured level if debug is on. */
  toggleDebug(by: string): void {
    const loud = this.#root.isLevelEnabled('debug');
    const quiet = ['debug', 'trace'].includes(this.#configured) ? 'info' : this.#configured;
    this.set(loud ? quiet : 'debug', by);
  }

  #apply(level: LogLevel, component: Component | undefined): void {
    if (component === undefined) {
      this.#own.clear();
      this.#root.level = level;
      for (const logger of this.#loggers.values()) logger.level = level;
      return;
    }
    this.of(component).level = level;
    if (level === this.level) this.#own.delete(component);
    else this.#own.add(component);
  }
}

/** Fields at the beginning of a line, or expressed there in words. */
const HEAD = new Set(['time', 'level', 'component', 'msg']);

/** A line of JSON as one for people: `2027-01-31T08:00:00.000Z info  rules: a rule tripped rule=burst …` (logfmt). */
export function asText(line: string): string {
  const record = JSON.parse(line) as Record<string, unknown>;
  const { time, level, component, msg } = record as Record<string, string | undefined>;
  const who = component === undefined ? '' : `${component}: `;
  const fields = Object.entries(record)
    .filter(([key]) => !HEAD.has(key))
    .map(([key, value]) => ` ${key}=${shown(value)}`);
  return `${escaped(`${time} ${(level ?? '').padEnd(5)} ${who}${msg ?? ''}${fields.join('')}`)}\n`;
}

function shown(value: unknown): string {
  if (typeof value !== 'string') return JSON.stringify(value);
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
