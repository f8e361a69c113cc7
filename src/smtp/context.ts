import type { Logger } from 'pino';
import type { SenderPolicy } from '../accounts/senders.js';
import type { AlarmClock } from '../kernel/time.js';
import type { GeoPlace } from '../geoip/place.js';
import type { Metrics } from '../metrics/metrics.js';
import type { Trouble } from '../log/trouble.js';
import type { ReadModels } from '../detector/read-models.js';
import type { Appended, EventStore } from '../store/port.js';
import type { Tracing } from '../tracing/tracing.js';
import type { AttemptLimiter } from './auth/attempt-limiter.js';
import type { FailedLoginsByAccount } from '../accounts/failed-logins.js';
import type { LoginVerifier } from './auth/login-verifier.js';
import type { InTheAir } from './in-the-air.js';
import type { Recorder } from './recorder.js';
import type { Relay } from './relay/port.js';

/** What the SMTP side needs of the rest. */
export interface SmtpContext {
  readonly hostname: string;
  readonly clock: AlarmClock;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Undefined where nothing is traced. */
  readonly tracing?: Tracing | undefined;
  readonly models: ReadModels;
  /**
   * Called when a message is durable; a promise holds its 250 back until what it tripped is in force.
   */
  readonly accepted: (appended: Appended) => Promise<void> | undefined;
  readonly store: Pick<EventStore, 'healthy' | 'maxAppendBytes'>;
  readonly recorder: Recorder;
  readonly inTheAir: InTheAir;
  /** Messages that cannot be taken, for want of the store or of room for long ones; connections that cannot. */
  readonly troubles: Readonly<Record<'store' | 'spool' | 'accept', Trouble>>;
  readonly relay: Relay;
  readonly verifier: LoginVerifier;
  readonly limiter: AttemptLimiter;
  readonly failedLogins: FailedLoginsByAccount;
  /** Where a client is; its address in normal form. */
  readonly placeOf: (ip: string) => GeoPlace;
  readonly spoolDir: string;
  readonly senders: () => SenderPolicy;
  /** Whom an honest refusal names. */
  readonly contact: string | undefined;
  /** Bytes. */
  readonly maxMessageSize: number;
}
