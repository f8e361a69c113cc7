import type { AlarmClock, Milliseconds } from '../kernel/time.js';
import { MINUTE, SECOND } from '../kernel/time.js';
import { RelayUnreachable } from '../smtp/relay/port.js';
import type { Room } from './room.js';

/** Recipients of one account in messages that are handed over at the same time. A message with more goes alone. */
const MOST_RECIPIENTS = 200;
/** A client waits ten minutes for the answer to its message (RFC 5321 section 4.5.3.2.6). */
const LONGEST_WAIT: Milliseconds = MINUTE;
/** Where nothing of an account is counted for so long, counting is what fails: that must not stop mail. */
const STUCK: Milliseconds = 2 * SECOND;
/** To ask for what the limits allow costs ten times what an answer does. */
const ROOM_FOR: Milliseconds = SECOND / 10;

interface Waiter {
  readonly recipients: number;
  readonly go: () => void;
}

interface OfAccount {
  messages: number;
  recipients: number;
  /** When one of them was last counted, or the first began. */
  movedAt: Milliseconds;
  /** What the account's own limits still allowed when it was asked for, less what has been counted since. */
  room: Room | undefined;
  roomAt: Milliseconds;
  /** First come, first served. */
  waiting: Set<Waiter> | undefined;
}

/**
 * The messages of each account that are being handed over and are not counted yet. Rules do not know of them: a thief
 * who holds many messages back and ends them all at once would get each of them sent, above every limit. So only so
 * many recipients are in the air at a time; later messages wait until it is known whether the account is blocked, or
 * are put off where nothing may wait.
 */
export class InTheAir {
  readonly #clock: Pick<AlarmClock, 'after' | 'monotonic'>;
  readonly #accounts = new Map<string, OfAccount>();

  constructor(clock: Pick<AlarmClock, 'after' | 'monotonic'>) {
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
    const own = this.#of(account);
    if (!isAwaited(own) && hasRoom(own, recipients)) enter(own, recipients);
    else await this.#turn(account, own, recipients, onWaiting);
    return () => this.#leave(account, own, recipients);
  }

  /**
   * Whether a message may be handed over now, for one who cannot wait. It may also where the account's own limits allow
   * all that is in the air, and where nothing has been counted for a while.
   *
   * @param account in normal form
   * @param roomOf what its limits still allow: asked only where the messages in the air are many
   */
  mayEnter(account: string, recipients: number, roomOf: (account: string) => Room): boolean {
    const own = this.#accounts.get(account);
    if (own === undefined || hasRoom(own, recipients)) return true;
    const now = this.#clock.monotonic();
    if (now - own.movedAt >= STUCK) return true;
    if (own.room === undefined || now - own.roomAt >= ROOM_FOR) {
      own.room = roomOf(account);
      own.roomAt = now;
    }
    const { room } = own;
    return own.messages + 1 <= room.messages && own.recipients + recipients <= room.recipients;
  }

  /** A message is handed over, whatever is in the air: {@link leave} must follow. */
  enter(account: string, recipients: number): void {
    enter(this.#of(account), recipients);
  }

  /** A message that has entered is counted, or will not be. */
  leave(account: string, recipients: number): void {
    const own = this.#accounts.get(account);
    if (own !== undefined) this.#leave(account, own, recipients);
  }

  #of(account: string): OfAccount {
    let own = this.#accounts.get(account);
    if (own === undefined) {
      const movedAt = this.#clock.monotonic();
      own = { messages: 0, recipients: 0, movedAt, room: undefined, roomAt: 0, waiting: undefined };
      this.#accounts.set(account, own);
    }
    return own;
  }

  #leave(account: string, own: OfAccount, recipients: number): void {
    own.messages--;
    own.recipients -= recipients;
    own.movedAt = this.#clock.monotonic();
    if (own.room !== undefined)
      own.room = { messages: own.room.messages - 1, recipients: own.room.recipients - recipients };
    this.#next(account, own);
  }

  #turn(
    account: string,
    own: OfAccount,
    recipients: number,
    onWaiting?: (giveUp: () => void) => void,
  ): Promise<void> {
    const waiting = (own.waiting ??= new Set());
    return new Promise((resolve, reject) => {
      const end = (why: string): void => {
        if (!waiting.delete(waiter)) return;
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
      waiting.add(waiter);
      onWaiting?.(() => end('the client is gone'));
    });
  }

  #next(account: string, own: OfAccount): void {
    const { waiting } = own;
    if (waiting !== undefined)
      for (const waiter of waiting) {
        if (!hasRoom(own, waiter.recipients)) return;
        waiting.delete(waiter);
        enter(own, waiter.recipients);
        waiter.go();
      }
    if (own.messages === 0) this.#accounts.delete(account);
  }
}

function isAwaited({ waiting }: OfAccount): boolean {
  return waiting !== undefined && waiting.size > 0;
}

function hasRoom(own: OfAccount, recipients: number): boolean {
  return own.messages === 0 || own.recipients + recipients <= MOST_RECIPIENTS;
}

function enter(own: OfAccount, recipients: number): void {
  own.messages++;
  own.recipients += recipients;
}
