import type { AlarmClock, Milliseconds } from '../../kernel/time.js';
import { SECOND } from '../../kernel/time.js';
import type { Relay } from './port.js';

const INTERVAL: Milliseconds = 30 * SECOND;

export interface RelayWatch {
  /** What the last probe said, or the messages since; `unknown` before the first. */
  readonly state: 'ok' | 'failing' | 'unknown';
  /** Resolves with the first probe. */
  readonly asked: Promise<void>;
  stop(): void;
}

/** Asks the upstream every half minute whether it answers, so that health tells it before a client does. */
export function watchRelay(relay: Pick<Relay, 'probe' | 'healthy'>, clock: AlarmClock): RelayWatch {
  let state: RelayWatch['state'] = 'unknown';
  let stopped = false;
  let cancel = (): void => undefined;
  const ask = async (): Promise<void> => {
    const { ok } = await relay.probe();
    state = ok ? 'ok' : 'failing';
    if (!stopped) cancel = clock.after(INTERVAL, () => void ask());
  };
  const asked = ask();
  return {
    asked,
    get state() {
      return state === 'ok' && !relay.healthy ? 'failing' : state;
    },
    stop() {
      stopped = true;
      cancel();
    },
  };
}
