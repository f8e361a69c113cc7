import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { MINUTE } from '../kernel/time.js';
import { RelayUnreachable } from './relay/port.js';

/** Recipients of one account in messages that are handed over at the same time. A message with more goes alone. */
const MOST_RECIPIENTS = 200;
/** A client waits ten minutes for the answer to its message (RFC 5321 section 4.5.3.2.6). */
const LONGEST_WAIT: Milliseconds = MINUTE;

interface Waiter {
  readonly recipients: number;
  readonly go: () => void;
}

interface OfAccount {
  recipients: number;
  /** First come, first served. */
  readonly waiting: Set<Waiter>;
}

/**
 * The messages of each account that are being handed over and are not counted yet. Rules do not know of them: a thief
 * who holds many messages back and ends them all at once would get each of them sent, above every limit. So only so
 * many recipients are in the air at a time; later messages wait until it is known whether the account is blocked.
 */
export class InTheAir {
  readonly #clock: Pick<AlarmClock, 'after'>;
  readonly #accounts = new Map<string, OfAccount>();

  constructor(clock: Pick<AlarmClock, 'after'>) {
    this.#clock = clock;
  }

  /**
   * Waits until a message may be handed over.
   *
   * @param account in normal form
   * @param onWaiting called with a function that gives up the wait, if it has to wait
   * @returns a function to call when the message is counted or has failed
   * @throws RelayUnreachable if earlier messages take too long, or the wait is given up
   */
  async begin(
    account: string,
    recipients: number,
    onWaiting?: (giveUp: () => void) => void,
  ): Promise<() => void> {
    const own = this.#accounts.get(account) ?? { recipients: 0, waiting: new Set() };
    this.#accounts.set(account, own);
    if (own.waiting.size === 0 && hasRoom(own, recipients)) own.recipients += recipients;
    else await this.#turn(account, own, recipients, onWaiting);
    return () => {
      own.recipients -= recipients;
      this.#next(account, own);
    };
  }

  #turn(
    account: string,
    own: OfAccount,
    recipients: number,
    onWaiting?: (giveUp: () => void) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (why: string): void => {
        if (!own.waiting.delete(waiter)) return;
        cancel();
        this.#next(account, own);
        reject(new RelayUnreachable(why));
      };
      const cancel = this.#clock.after(LONGEST_WAIT, () =>
        end('earlier messages of this sender are not answered yet'),
      );
      const go = (): void => {
        cancel();
        resolve();
      };
      const waiter: Waiter = { recipients, go };
      own.waiting.add(waiter);
      onWaiting?.(() => end('the client is gone'));
    });
  }

  #next(account: string, own: OfAccount): void {
    for (const waiter of own.waiting) {
      if (!hasRoom(own, waiter.recipients)) return;
      own.waiting.delete(waiter);
      own.recipients += waiter.recipients;
      waiter.go();
    }
    if (own.recipients === 0) this.#accounts.delete(account);
  }
}

function hasRoom(own: OfAccount, recipients: number): boolean {
  return own.recipients === 0 || own.recipients + recipients <= MOST_RECIPIENTS;
}
