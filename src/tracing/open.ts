import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { TracingSettings } from '../config/schema.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type * as sdk from './sdk.js';
import { Tracing } from './tracing.js';

export interface OpenTracing {
  readonly tracing: Tracing;
  /** Sends what still waits, as far as there is time. */
  close(): Promise<void>;
}

/** How long the end of the process waits for the last traces. */
const FAREWELL: Milliseconds = SECOND;

/**
 * Loads the SDK and begins to trace.
 *
 * @throws StopgapError if its packages, which are optional, are not installed
 */
export async function openTracing(
  settings: TracingSettings,
  about: { readonly version: string; readonly roles: readonly string[] },
  log: Logger,
): Promise<OpenTracing> {
  const started = (await loadSdk()).startSdk(settings, about, log);
  log.info({ endpoint: settings.endpoint, sample: settings.sample }, 'traces are sent');
  return {
    tracing: new Tracing(started.tracer, settings.sample),
    close: () =>
      Promise.race([started.close().catch(() => undefined), setTimeout(FAREWELL, undefined, { ref: false })]),
  };
}

/** @throws StopgapError if its packages are not installed */
export async function loadSdk(): Promise<Pick<typeof sdk, 'startSdk'>> {
  try {
    return await import('./sdk.js');
  } catch (error) {
    throw new StopgapError(
      'unavailable',
      `tracing.endpoint: the packages that send traces cannot be loaded (${messageOf(error)}); ` +
        'install them with npm install --include=optional, or remove the setting',
    );
  }
}
