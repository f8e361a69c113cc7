import { setTimeout as pause } from 'node:timers/promises';
import {
  AccessDeniedError,
  CancelledError,
  DeadlineExceededError,
  MaxAppendSizeExceededError,
  NotLeaderError,
  StreamDeletedError,
  StreamNotFoundError,
  UnavailableError,
  WrongExpectedVersionError,
} from '@kurrent/kurrentdb-client';
import { InvalidInput, messageOf, StopgapError } from '../../kernel/errors.js';
import type { Milliseconds } from '../../kernel/time.js';
import { AccessRefused, StoreUnavailable } from '../port.js';
import { systemClock, within } from '../../runtime/clock.js';

/** Our own time-out: the server did not answer. */
export class NoAnswer extends Error {
  constructor(within: Milliseconds) {
    super(`no answer within ${Math.round(within)} ms`);
    this.name = 'NoAnswer';
  }
}

/** The log went on, or the leader was away, and a subscription was told of neither. */
export class Silence extends Error {
  constructor() {
    super('nothing came for a while');
    this.name = 'Silence';
  }
}

/** What gRPC calls an invalid argument. */
const INVALID_ARGUMENT = 3;

/** A subscription was to begin at a position at which nothing ends. The client has no class of errors for it. */
export function isInvalidPosition(error: unknown): boolean {
  return (error as { code?: unknown }).code === INVALID_ARGUMENT;
}

/** @throws NoAnswer if a promise takes longer */
export function answered<T>(time: Milliseconds, promise: Promise<T>): Promise<T> {
  return within(systemClock, time, promise, () => {
    throw new NoAnswer(time);
  });
}

const LEADER_PAUSE: Milliseconds = 20;

/** The client learns who leads from the refusal itself, a turn or two of the event loop later. */
export const leaderLearnt = (): Promise<void> => pause(LEADER_PAUSE);

/** Tries once more if it reached a node that does not lead, which has written nothing. */
export async function atLeader<T>(attempt: () => Promise<T>): Promise<T> {
  try {
    return await attempt();
  } catch (error) {
    if (!(error instanceof NotLeaderError)) throw error;
  }
  await leaderLearnt();
  return attempt();
}

/** The server has judged the request: the connection is sound, and asking again would change nothing. */
export function isAnswer(error: unknown): boolean {
  return (
    error instanceof WrongExpectedVersionError ||
    error instanceof StreamDeletedError ||
    error instanceof StreamNotFoundError ||
    error instanceof MaxAppendSizeExceededError ||
    error instanceof StopgapError
  );
}

/**
 * Whether the client should be replaced after this error. It goes to the leader by itself after a NotLeader. But if a
 * node is away it tries that one again, with growing pauses; and if it was never answered, it may keep that failure for
 * ever.
 */
export function spoilsClient(error: unknown): boolean {
  return !(isAnswer(error) || error instanceof NotLeaderError || error instanceof CancelledError);
}

/** The server refuses the user or password. */
export function isRefusal(error: unknown): boolean {
  return error instanceof AccessDeniedError || (error as Error).cause instanceof AccessDeniedError;
}

/** The port's error for any error of the client, other than a wrong expected version. */
export function portError(error: unknown, what: string): Error {
  if (error instanceof StopgapError) return error;
  if (error instanceof StreamDeletedError)
    return new StopgapError('conflict', `${what}: the stream was deleted for good`);
  if (error instanceof MaxAppendSizeExceededError)
    return Object.assign(new InvalidInput('events', `${what}: more than the server takes at once`), {
      cause: error,
    });
  if (error instanceof AccessDeniedError)
    return new AccessRefused(`${what}: KurrentDB refuses the user or password`, { cause: error });
  if (error instanceof DeadlineExceededError)
    return new StoreUnavailable(`${what}: KurrentDB did not finish it in time`, { cause: error });
  // Reads give it no text but its name.
  if (error instanceof UnavailableError && ['', 'UnavailableError'].includes(error.message))
    return new StoreUnavailable(`${what}: no KurrentDB can be reached`, { cause: error });
  return new StoreUnavailable(`${what}: ${messageOf(error)}`, { cause: error });
}
