import type { BlockEvent } from '../../src/blocks/events.js';
import type { RecordedEvent } from '../../src/kernel/events.js';
import type { Instant, Milliseconds } from '../../src/kernel/time.js';
import { DAY, MINUTE } from '../../src/kernel/time.js';
import type { MessageAccepted } from '../../src/sending/events.js';
import { effectiveAt, FINAL_ANSWER, isHeldEvent, isImported } from '../../src/sending/events.js';
import {
  isLocalUser,
  isLoopback,
  normalizeAccount,
  normalizeAddress,
  normalizeEhlo,
} from '../../src/sending/identity.js';
import type { Direction, MailDirection, SenderIdentity, Subject } from '../../src/sending/subjects.js';
import { directionsMeet } from '../../src/sending/subjects.js';
import { isOver } from '../../src/blocks/state.js';
import type { ActiveBlock, ActiveBlocks } from './active-blocks.js';
import type { BlockLedger } from './block-ledger.js';

/** What is accepted within this after a block began was under way then: it was asked about before, or its host's clock differs. */
const UNDER_WAY: Milliseconds = MINUTE;
/** Held messages that are known again when they are sent: some 8 MB. Those of a hundred full blocks. */
const MOST_REMEMBERED = 100_000;
/** A way past a block is told of for so long after the last message that took it: nobody knows that it was closed. */
const TOLD_FOR: Milliseconds = DAY;

/** For how long after a block began this may still record mail that it had asked about before. */
export function underWay({ by }: Pick<RecordedEvent, 'by'>): Milliseconds {
  return by.startsWith('smtp:') ? UNDER_WAY + FINAL_ANSWER : UNDER_WAY;
}

/**
 * Whether mail that a block is on shows a way past it. Anybody chooses the return path and the EHLO name of mail that arrives, and a
 * program of the mail server's own machine forwards it under the same one. As for what extends a block, mail that arrives counts for
 * blocks of such mail alone.
 */
export function showsWayPast(
  { type, direction }: Pick<ActiveBlock, 'type' | 'direction'>,
  { account, ip, direction: mail }: SenderIdentity,
): boolean {
  if (type === 'account' || type === 'ip') return true;
  if (mail === 'inbound') return direction === 'inbound';
  return account === undefined ? ip !== undefined && !isLoopback(ip) : !isLocalUser(account);
}

/** Mail that was sent on although a block was in force. */
export interface PastBlock {
  readonly messages: number;
  readonly lastAt: Instant;
}

/** From when on a block stops mail of this direction. */
interface Begun {
  readonly at: Instant;
  readonly direction: Direction;
}

/** Whether a message was held for a block on its sender itself, or the id of one of which nothing is recorded yet. */
type HeldFor = boolean | string;

export interface PastBlocksState {
  /** By the block's id, when it began, or took another direction. */
  readonly from: readonly (readonly [block: string, from: Begun])[];
  readonly past: readonly (readonly [block: string, past: PastBlock & { readonly position: number }])[];
  /** The queue ids of what was held, also for blocks that have ended. */
  readonly held: readonly (readonly [transaction: string, held: HeldFor])[];
}

/** Whether a block on this is on a sender itself. */
function isOwn(subject: Subject | undefined): boolean {
  return subject?.type === 'account' || subject?.type === 'address';
}

/**
 * Which blocks in force mail goes past: somebody accepts mail of their senders without asking, or has not heard an answer. Reads no
 * clock.
 */
export class PastBlocks {
  readonly #from = new Map<string, Begun>();
  readonly #past = new Map<string, { messages: number; lastAt: Instant; position: number }>();
  /** Without a hook mail stays on hold when its block has ended, and somebody lets it go under another one. */
  readonly #held = new Map<string, HeldFor>();
  /** The send that is being folded: one at a time, so one object is refilled for each. */
  readonly #sender = {
    account: undefined as string | undefined,
    address: undefined as string | undefined,
    ehlo: undefined as string | undefined,
    ip: undefined as string | undefined,
    direction: 'outbound' as MailDirection,
  };
  #at: Instant = 0;
  #underWay: Milliseconds = 0;
  #transaction = '';
  #position = 0;

  /** Of a block in force; undefined where nothing went past it. */
  of(block: string): PastBlock | undefined {
    return this.#past.get(block);
  }

  /** Whether a message was held for a block: where it is sent on, a person or the hook has let it go. */
  wasHeld(transaction: string): boolean {
    return this.#held.has(transaction);
  }

  /**
   * Whether it was so for a block on its account or return path: who let it go has judged its sender. Of a block on a domain, a network
   * or a name nobody has looked at each of those whose mail it held.
   */
  wasJudged(transaction: string, ledger: Pick<BlockLedger, 'subjectOf'>): boolean {
    const held = this.#held.get(transaction);
    return typeof held === 'string' ? isOwn(ledger.subjectOf(held)) : held === true;
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
    if (type === 'BlockImposed') this.#from.set(data.block, { at: when, direction: data.direction });
    else if (type === 'BlockExtended') {
      const begun = this.#from.get(data.block);
      if (begun !== undefined && begun.direction !== data.direction)
        this.#from.set(data.block, { at: Math.max(begun.at, when), direction: data.direction });
    } else if (type === 'BlockReleased' || type === 'BlockExpired') {
      this.#from.delete(data.block);
      this.#past.delete(data.block);
    }
  }

  /** Counts a send for the blocks that should have stopped it, and remembers what is held. */
  sent(
    event: RecordedEvent,
    activeBlocks: Pick<ActiveBlocks, 'forEachOn'>,
    ledger: Pick<BlockLedger, 'subjectOf'>,
  ): void {
    if (isHeldEvent(event)) {
      const { transaction, block } = event.data;
      // It may have ended, and be recorded later than mail that it holds already.
      const subject = ledger.subjectOf(block);
      this.#hold(transaction, subject === undefined ? block : isOwn(subject));
    }
    if (this.#from.size === 0) return;
    if (event.type !== 'MessageAccepted' || isImported(event)) return;
    const { account, returnPath, ehlo, ip, direction, further, transaction } = event.data as MessageAccepted;
    // These recipients are told of when their delivery is: the message was taken before.
    if (further === true) return;
    // No clock that is ahead makes a message one that came later.
    this.#at = Math.min(effectiveAt(event), event.recordedAt);
    this.#position = event.position;
    this.#underWay = underWay(event);
    this.#transaction = transaction;
    const sender = this.#sender;
    sender.account = account === undefined || account === '' ? undefined : normalizeAccount(account);
    sender.address = returnPath === undefined ? undefined : normalizeAddress(returnPath);
    sender.ehlo = ehlo === undefined || ehlo === '' ? undefined : normalizeEhlo(ehlo);
    // It is recorded in its normal form.
    sender.ip = ip;
    sender.direction = direction;
    activeBlocks.forEachOn(sender, this.#count);
  }

  readonly #count = ({ id, type, direction, until }: ActiveBlock): void => {
    const begun = this.#from.get(id);
    if (begun === undefined || this.#at <= begun.at + this.#underWay || isOver(until, this.#at)) return;
    if (!directionsMeet(direction, this.#sender.direction)) return;
    if (!showsWayPast({ type, direction }, this.#sender) || this.wasHeld(this.#transaction)) return;
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

  #hold(transaction: string, held: HeldFor): void {
    // What was held for its sender may be held on for a block on a domain: that takes nothing back.
    const before = this.#held.get(transaction);
    this.#held.set(transaction, before === undefined || before === false || held === true ? held : before);
    if (this.#held.size > MOST_REMEMBERED)
      for (const oldest of this.#held.keys()) return void this.#held.delete(oldest);
  }

  /** The opposite of {@link restore}. */
  dump(): PastBlocksState {
    return {
      from: [...this.#from],
      past: [...this.#past].map(([block, past]) => [block, { ...past }]),
      held: [...this.#held],
    };
  }

  /** Takes over what {@link dump} gave. Must come before anything is applied. */
  restore({ from, past, held }: PastBlocksState): void {
    for (const [block, begun] of from) this.#from.set(block, begun);
    for (const [block, one] of past) this.#past.set(block, { ...one });
    for (const [transaction, one] of held) this.#held.set(transaction, one);
  }
}
