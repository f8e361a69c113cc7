import { randomUUID } from 'node:crypto';
import {
  DeadlineExceededError,
  jsonEvent,
  WrongExpectedVersionError,
  type KurrentDBClient,
} from '@kurrent/kurrentdb-client';
import { DAY, SECOND, type Milliseconds } from '../../kernel/time.js';
import type { Connection } from './connection.js';
import { APPEND_DEADLINE, sending } from './envelope.js';
import { atLeader, portError, spoilsClient, answered } from './errors.js';

/** Never written: the probe's stream stays empty. */
const PROBE_STREAM = 'stopgap-probe';

/** No stream is ever there. */
const IMPOSSIBLE_REVISION = BigInt(Number.MAX_SAFE_INTEGER);

/** How near to the truth the skew of the clocks is found, but for the time that a probe is under way. */
const NEAR: Milliseconds = 100;

/** A skew is looked for up to here; the client knows no deadline beyond a year. */
const FAR: Milliseconds = 30 * DAY;

/** A probe that is under way for longer says nothing about a clock. */
const SLOW: Milliseconds = SECOND;

/**
 * An append that cannot succeed: it goes all the way to the leader's writer, and writes nothing.
 *
 * @returns the client that was answered
 * @throws StoreUnavailable where it is not answered in time
 */
export async function probe(connection: Connection, timeout: Milliseconds): Promise<KurrentDBClient> {
  let { client } = connection;
  try {
    await answered(
      timeout,
      atLeader(() => attempt((client = connection.client), APPEND_DEADLINE)),
    );
  } catch (error) {
    if (!(error instanceof WrongExpectedVersionError)) {
      if (spoilsClient(error)) connection.renew(client);
      throw portError(error, 'a probe');
    }
  }
  return client;
}

function attempt(client: KurrentDBClient, deadline: Milliseconds): Promise<unknown> {
  const event = jsonEvent({ id: randomUUID(), type: 'Probe', data: {} });
  const state = sending(IMPOSSIBLE_REVISION, deadline);
  return client.appendToStream(PROBE_STREAM, event, state);
}

/**
 * Measures how far the leader's clock goes before ours. The client sends the deadline of an append as an instant by our
 * clock, and the server refuses what is past by its own: so a few probes with nearer and nearer deadlines tell. That
 * needs no other connection, no other right and no other address than appends do, and asks the clock that matters.
 *
 * @returns undefined where the server looks at no deadline, is too far away or too slow to say
 * @throws StoreUnavailable where a probe is not answered in time
 */
export async function measureSkew(
  { client }: Connection,
  timeout: Milliseconds,
): Promise<Milliseconds | undefined> {
  /** The quickest way there: what the server's clock went on meanwhile is no part of the skew. */
  let way: Milliseconds = SLOW;
  let slow = false;
  const isPast = async (deadline: Milliseconds): Promise<boolean> => {
    const began = performance.now();
    const error: unknown = await answered(timeout, attempt(client, deadline)).catch(
      (reason: unknown) => reason,
    );
    const took = performance.now() - began;
    way = Math.min(way, took / 2);
    slow ||= took > SLOW;
    if (error instanceof DeadlineExceededError) return true;
    if (error instanceof WrongExpectedVersionError) return false;
    throw portError(error, 'a probe');
  };
  let [low, high] = [-SECOND, SECOND];
  while (!slow && (await isPast(high))) {
    if (high > FAR) return undefined;
    [low, high] = [high, high * 8];
  }
  while (!slow && !(await isPast(low))) {
    if (low < -FAR) return undefined;
    [low, high] = [low * 8, low];
  }
  while (!slow && high - low > NEAR) {
    const middle = (low + high) / 2;
    if (await isPast(middle)) low = middle;
    else high = middle;
  }
  return slow ? undefined : Math.round((low + high) / 2 - way);
}
