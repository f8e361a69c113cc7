import type { BlockEvent } from '../../src/blocks/events.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DAY, HOUR, MINUTE } from '../../src/kernel/time.js';
import type { MessageAccepted } from '../../src/sending/events.js';
import { effectiveAt, isImported } from '../../src/sending/events.js';
import { normalizeAccount, normalizeAddress, normalizeEhlo } from '../../src/sending/identity.js';
import type { MailDirection } from '../../src/sending/subjects.js';
import { directionsMeet } from '../../src/sending/subjects.js';
import { isOver } from '../../src/blocks/state.js';
import type { ActiveBlock, ActiveBlocks } from './active-blocks.js';

/** What is accepted within this after a block began was under way then: it was asked about before, or its host's clock differs. */
export const UNDER_WAY: Milliseconds = MINUTE;
/** Held mail that a person has let go leaves within this, and is reported as sent then. */
export const LET_GO_WITHIN: Milliseconds = HOUR;
/** A way past a block is told of for so long after the last message that took it: nobody knows that it was closed. */
const TOLD_FOR: Milliseconds = DAY;

/** Mail that was sent on although a block was in force. */
export interface PastBlock {
  readonly messages: number;
  readonly lastAt: Instant;
}

export interface PastBlocksState {
  /** By the block's id, from when on mail was not under way. */
  readonly from: readonly (readonly [block: string, from: Instant])[];
  readonly past: readonly (readonly [block: string, past: PastBlock & { readonly position: number }])[];
}

/**
 * Which blocks in force mail goes past: somebody accepts mail of their senders without asking, or has not heard an answer. Reads no
 * clock.
 */
export class PastBlocks {
  readonly #from = new Map<string, Instant>();
  readonly #past = new Map<string, { messages: number; lastAt: Instant; position: number }>();
  /** The send that is being folded: one at a time, so one object is refilled for each. */
  readonly #sender = {
    account: undefined as string | undefined,
    address: undefined as string | undefined,
    ehlo: undefined as string | undefined,
    ip: undefined as string | undefined,
    direction: 'outbound' as MailDirection,
  };
  #at: Instant = 0;
  #position = 0;

  /** Of a block in force; undefined where nothing went past it. */
  of(block: string): PastBlock | undefined {
    return this.#past.get(block);
  }

  /** The blocks in force that mail has gone past within a day. */
  lately(
    now: Instant,
    activeBlocks: Pick<ActiveBlocks, 'byId'>,
  ): readonly (PastBlock & { readonly block: ActiveBlock })[] {
    return [...this.#past].flatMap(([id, past]) => {
      const block = past.lastAt + TOLD_FOR > now ? activeBlocks.byId(id) : undefined;
      return block === undefined || isOver(block.until, now) ? [] : [{ ...past, block }];
    });
  }

  apply(event: RecordedEvent & BlockEvent): void {
    const { type, data, at, recordedAt } = event;
    // Of two clocks the later one.
    const when = Math.max(at, recordedAt);
    if (type === 'BlockImposed') this.#from.set(data.block, when + UNDER_WAY);
    else if (type === 'HeldMailDecided' && data.action === 'release') {
      const from = this.#from.get(data.block);
      if (from !== undefined) this.#from.set(data.block, Math.max(from, when + LET_GO_WITHIN));
    } else if (type === 'BlockReleased' || type === 'BlockExpired') {
      this.#from.delete(data.block);
      this.#past.delete(data.block);
    }
  }

  /** Counts a send for the blocks that should have stopped it. */
  sent(event: RecordedEvent, activeBlocks: Pick<ActiveBlocks, 'forEachOn'>): void {
    if (this.#from.size === 0 || event.type !== 'MessageAccepted' || isImported(event)) return;
    const { account, returnPath, ehlo, ip, direction, further } = event.data as MessageAccepted;
    // These recipients are told of when their delivery is: the message was taken before.
    if (further === true) return;
    // No clock that is ahead makes a message one that came later.
    this.#at = Math.min(effectiveAt(event), event.recordedAt);
    this.#position = event.position;
    const sender = this.#sender;
    sender.account = account === undefined || account === '' ? undefined : normalizeAccount(account);
    sender.address = returnPath === undefined ? undefined : normalizeAddress(returnPath);
    sender.ehlo = ehlo === undefined || ehlo === '' ? undefined : normalizeEhlo(ehlo);
    // Whoever records an address does so in its normal form.
    sender.ip = ip;
    sender.direction = direction;
    activeBlocks.forEachOn(sender, this.#count);
  }

  readonly #count = ({ id, direction, until }: ActiveBlock): void => {
    const from = this.#from.get(id);
    if (from === undefined || this.#at <= from || isOver(until, this.#at)) return;
    if (!directionsMeet(direction, this.#sender.direction)) return;
    const past = this.#past.get(id);
    if (past === undefined) {
      this.#past.set(id, { messages: 1, lastAt: this.#at, position: this.#position });
      return;
    }
    // A domain may be found twice, by the login and by the return path.
    if (past.position === this.#position) return;
    past.position = this.#position;
    past.messages++;
    past.lastAt = Math.max(past.lastAt, this.#at);
  };

  /** The opposite of {@link restore}. */
  dump(): PastBlocksState {
    return { from: [...this.#from], past: [...this.#past].map(([block, past]) => [block, { ...past }]) };
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore({ from, past }: PastBlocksState): void {
    for (const [block, at] of from) this.#from.set(block, at);
    for (const [block, one] of past) this.#past.set(block, { ...one });
  }
}
