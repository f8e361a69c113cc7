import type { Instant } from './time.js';

/** What a decision yields: a fact without the envelope that an edge puts around it. */
export interface Fact<Type extends string = string, Data = unknown> {
  readonly type: Type;
  readonly data: Data;
  /** When it happened, if that is not the moment of the decision (an expiry found late). */
  readonly at?: Instant;
  /** Who did it, if that is not who decided. */
  readonly by?: string;
}

/** An event as it is handed to the store. */
export interface NewEvent<Type extends string = string, Data = unknown> extends Fact<Type, Data> {
  /** UUID (version 7 by preference: time order keeps the store's index compact). Makes an append idempotent. */
  readonly id: string;
  /** Version of the shape of `data`; absent means 1. */
  readonly version?: number;
  /** When it happened, by the clock of the process that saw it. */
  readonly at: Instant;
  /** `rule:<id>@<version>`, `admin:<name>`, `system:<part>`, `smtp:<host>`, `policy:<host>` or
   * `server:<token>`. */
  readonly by: string;
  /** The id that ties it to its cause: an SMTP transaction, a request, a verdict. */
  readonly correlation?: string;
  /**
   * The span that caused it, as a W3C traceparent (Trace Context level 1, section 3.2): work on the event continues
   * that trace. Set only if that trace is sampled.
   */
  readonly trace?: string;
}

/** An event as the store gives it back. */
export interface RecordedEvent<Type extends string = string, Data = unknown> extends NewEvent<Type, Data> {
  readonly stream: string;
  /**
   * Place in its stream, without gaps until retention takes the oldest. The first is 0, or later in a category where
   * retention takes names too.
   */
  readonly revision: number;
  /** Place in the store's total order: rises strictly, may have gaps, starts above 0. A safe integer. */
  readonly position: number;
  /** When the store wrote it, by the store's clock. */
  readonly recordedAt: Instant;
}

/** The type an adapter gives to a stored event whose JSON cannot be read; `data` says why. Never fatal. */
export const UNREADABLE = '$unreadable';

/** `<category>-<key>`: the category is the part before the first dash, so keys may contain dashes. */
export function streamName(category: string, key: string): string {
  return `${category}-${key}`;
}

export function categoryOf(stream: string): string {
  const dash = stream.indexOf('-');
  return dash < 0 ? stream : stream.slice(0, dash);
}

/** The part after the first dash. */
export function keyOf(stream: string): string {
  return stream.slice(stream.indexOf('-') + 1);
}

/*
 * What data must have at least for the reducers to make sense of them. Anybody may write to a shared store: an event
 * that has the name of one of ours and nothing else must not pass for one.
 */

export type Check = (value: unknown) => boolean;
/** What must hold of some of the fields of a T; of the others nothing is asked. */
export type Shape<T> = { readonly [Key in keyof T]?: Check };

export const text: Check = (value) => typeof value === 'string';
export const whole: Check = (value) => Number.isSafeInteger(value);
export const wholeOrNull: Check = (value) => value === null || whole(value);

export const oneOf =
  (known: readonly string[]): Check =>
  (value) =>
    known.includes(value as string);

export const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

export function shaped<T>(shape: Shape<T>): Check {
  const checks = Object.entries(shape) as [string, Check][];
  return (value) =>
    typeof value === 'object' &&
    value !== null &&
    checks.every(([key, check]) => check((value as Record<string, unknown>)[key]));
}
