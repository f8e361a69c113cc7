import { randomUUID } from 'node:crypto';
import { jsonEvent, WrongExpectedVersionError } from '@kurrent/kurrentdb-client';
import type { Milliseconds } from '../../kernel/time.js';
import { Backoff, type BackoffOptions } from './backoff.js';
import type { Connection } from './connection.js';
import { spoilsClient, within } from './errors.js';

/** Never written: the probe's stream stays empty. */
const PROBE_STREAM = 'stopgap-probe';

/** No stream is ever there. */
const IMPOSSIBLE_REVISION = BigInt(Number.MAX_SAFE_INTEGER);

/** Knows whether the last append went through, and finds out by itself when appends go through again. */
export class Health {
  private failed = false;
  private stopped = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly backoff: Backoff;

  constructor(
    private readonly connection: Connection,
    private readonly timeout: Milliseconds,
    backoff: BackoffOptions,
  ) {
    this.backoff = new Backoff(backoff);
  }

  get good(): boolean {
    return !this.failed;
  }

  succeed(): void {
    this.failed = false;
    this.backoff.reset();
  }

  fail(): void {
    this.failed = true;
    if (this.stopped) return;
    this.timer ??= setTimeout(() => {
      void this.probe();
    }, this.backoff.next());
    this.timer.unref();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  /** An append that cannot succeed: it goes all the way to the leader's writer, and writes nothing. */
  private async probe(): Promise<void> {
    const { client } = this.connection;
    const event = jsonEvent({ id: randomUUID(), type: 'Probe', data: {} });
    try {
      await within(
        this.timeout,
        client.appendToStream(PROBE_STREAM, event, {
          streamState: IMPOSSIBLE_REVISION,
          requiresLeader: true,
        }),
      );
      this.succeed();
    } catch (error) {
      if (error instanceof WrongExpectedVersionError) {
        this.succeed();
      } else if (spoilsClient(error)) {
        this.connection.renew(client);
      }
    }
    this.timer = undefined;
    if (this.failed) this.fail();
  }
}
