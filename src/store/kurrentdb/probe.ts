import { randomUUID } from 'node:crypto';
import { jsonEvent, WrongExpectedVersionError, type KurrentDBClient } from '@kurrent/kurrentdb-client';
import type { Milliseconds } from '../../kernel/time.js';
import type { Connection } from './connection.js';
import { portError, spoilsClient, within } from './errors.js';

/** Never written: the probe's stream stays empty. */
const PROBE_STREAM = 'stopgap-probe';

/** No stream is ever there. */
const IMPOSSIBLE_REVISION = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * An append that cannot succeed: it goes all the way to the leader's writer, and writes nothing.
 *
 * @returns the client that was answered
 * @throws StoreUnavailable where it is not answered in time
 */
export async function probe(connection: Connection, timeout: Milliseconds): Promise<KurrentDBClient> {
  const { client } = connection;
  const event = jsonEvent({ id: randomUUID(), type: 'Probe', data: {} });
  const state = { streamState: IMPOSSIBLE_REVISION, requiresLeader: true };
  try {
    await within(timeout, client.appendToStream(PROBE_STREAM, event, state));
  } catch (error) {
    if (!(error instanceof WrongExpectedVersionError)) {
      if (spoilsClient(error)) connection.renew(client);
      throw portError(error, 'a probe');
    }
  }
  return client;
}
