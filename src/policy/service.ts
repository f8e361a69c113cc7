import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import type { SenderPolicy } from '../accounts/senders.js';
import { isEntitled } from '../accounts/senders.js';
import { isOver } from '../blocks/state.js';
import type { ReadModels } from '../detector/read-models.js';
import { messageOf } from '../kernel/errors.js';
import type { AlarmClock } from '../kernel/time.js';
import type { Trouble } from '../log/trouble.js';
import type { PolicyMeter } from '../metrics/policy.js';
import type { SmtpMeter } from '../metrics/smtp.js';
import { InTheAir } from '../recording/in-the-air.js';
import type { Recorder } from '../recording/recorder.js';
import type { Room } from '../recording/room.js';
import { roomOf } from '../recording/room.js';
import type { Sender, VerdictContext } from '../recording/verdicts.js';
import { HOLD, Verdicts } from '../recording/verdicts.js';
import { askedMessageId, idOf, queuedMessageId } from '../runtime/ids.js';
import type { MessageHeld, SenderFields } from '../sending/events.js';
import { NAMELESS } from '../sending/identity.js';
import { sendStreamKey } from '../sending/subjects.js';
import { replyLine, TRY_LATER } from '../smtp/replies.js';
import type { Appended } from '../store/port.js';
import type { Full } from './held-room.js';
import { HeldRoom } from './held-room.js';
import type { AskedMessage } from './messages.js';
import { AskedMessages, keyOf, noteRecipient } from './messages.js';
import type { PolicyRequest } from './request.js';
import { countOf, decoded, sentAddress } from './request.js';

/** What a mail server is told that may go on: its other restrictions decide. Never OK, which would end them. */
export const DUNNO = 'DUNNO';

const MOST_RECIPIENTS = 1_000_000;
const LARGEST_SIZE = 2 ** 40;

/** What answering needs of the rest. */
export interface PolicyContext extends VerdictContext {
  readonly models: Pick<ReadModels, 'refusing' | 'ledger' | 'sendVolume' | 'exemptions'>;
  readonly clock: AlarmClock;
  readonly recorder: Pick<Recorder, 'refused' | 'loginFailed' | 'isBehind' | 'sent' | 'held' | 'putOff'>;
  /** A send is durable. Resolves when it is counted and what it tripped is in force; undefined if it is so already. */
  readonly accepted: (appended: Appended) => Promise<void> | undefined;
  readonly metrics: {
    readonly policy: PolicyMeter;
    readonly smtp: Pick<SmtpMeter, 'refused' | 'login' | 'accepted'>;
  };
  readonly senders: () => SenderPolicy;
  /** A block holds as much as one may. */
  readonly onFull: (block: string, full: Full) => void;
  /** Sends that could not be recorded. */
  readonly lost: Pick<Trouble, 'failed' | 'worked'>;
  /** Requests that could not be answered for a fault of ours. */
  readonly failed: Pick<Trouble, 'failed' | 'worked'>;
}

/** The stages at which a mail server is told anything else than to go on. */
const STAGES: ReadonlyMap<string, 'rcpt' | 'data' | 'end_of_message'> = new Map([
  ['RCPT', 'rcpt'],
  ['DATA', 'data'],
  ['END-OF-MESSAGE', 'end_of_message'],
]);

/** What has been asked since the start: which requests, and how many of them named a login. */
export interface Asked {
  readonly rcpt: number;
  readonly data: number;
  readonly endOfMessage: number;
  readonly withLogin: number;
  /** Messages that were to be held, had no queue id and so could not be: they were refused. */
  readonly unheld: number;
  /** Messages that were to be held, and were refused since their blocks hold as much as one may. */
  readonly full: number;
}

type Measured = SenderFields & Pick<MessageHeld, 'transaction' | 'recipients' | 'size'>;

/**
 * Answers a mail server that asks whether it may go on. An answer comes from memory and waits for nothing: neither for the
 * record of a send nor for a store that is away. What cannot be judged goes on.
 */
export class PolicyService {
  readonly #context: PolicyContext;
  readonly #verdicts: Verdicts;
  readonly #messages = new AskedMessages();
  readonly #inTheAir: InTheAir;
  readonly #heldRoom: HeldRoom;
  readonly #later: string;
  readonly #roomOf = (account: string): Room => {
    const { models, clock } = this.#context;
    return roomOf(models, account, clock.now());
  };
  readonly #asked = { rcpt: 0, data: 0, endOfMessage: 0, withLogin: 0, unheld: 0, full: 0 };

  constructor(context: PolicyContext) {
    this.#context = context;
    this.#verdicts = new Verdicts(context);
    this.#inTheAir = new InTheAir(context.clock);
    this.#heldRoom = new HeldRoom((block) => context.models.ledger.get(block), context.onFull);
    // Not HOLD: it would stay on hold, since no block is there whose end could release it.
    this.#later = replyLine(context.settings.refuse === '450' ? { ...TRY_LATER, code: 450 } : TRY_LATER);
  }

  get asked(): Asked {
    return this.#asked;
  }

  /** @returns the action */
  answer(request: PolicyRequest): string {
    try {
      const action = this.#answer(request);
      this.#context.failed.worked();
      return action;
    } catch (error) {
      // A fault of ours must not stop mail.
      this.#context.failed.failed(messageOf(error));
      return DUNNO;
    }
  }

  #answer(request: PolicyRequest): string {
    const { policy } = this.#context.metrics;
    const stage = STAGES.get(request.protocol_state);
    if (request.request !== 'smtpd_access_policy' || stage === undefined) {
      policy.answered('other', 'dunno');
      return DUNNO;
    }
    this.#asked[stage === 'end_of_message' ? 'endOfMessage' : stage]++;
    if (request.sasl_username !== '') this.#asked.withLogin++;
    const key = keyOf(request);
    const message = this.#messages.of(key);
    if (!canHold(stage, request)) message.held = undefined;
    const answer =
      stage === 'end_of_message'
        ? (message.answer ??= this.#atEnd(request, key, message))
        : this.#before(request, stage, message);
    policy.answered(
      stage,
      answer === DUNNO ? 'dunno' : answer === HOLD ? 'held' : message.isPutOff ? 'put_off' : 'refused',
    );
    return answer;
  }

  #before(request: PolicyRequest, stage: 'rcpt' | 'data', message: AskedMessage): string {
    if (stage === 'rcpt') message.recipients++;
    noteRecipient(message, request);
    const sender = this.#senderOf(request);
    const block = this.#verdicts.blockOf(sender, canHold(stage, request));
    if (block === undefined) return DUNNO;
    return this.#refuse(block, stage, request, sender, message);
  }

  /** The whole message is there: it is refused or put off, or it is a send. */
  #atEnd(request: PolicyRequest, key: string | undefined, message: AskedMessage): string {
    noteRecipient(message, request);
    const sender = this.#senderOf(request);
    const recipients = recipientsOf(request, message);
    const block = this.#verdicts.blockOf(sender, canHold('end_of_message', request));
    const told = message.held;
    // Only now the queue id is sure, and that there is a message.
    if (told !== undefined && (block?.id === told || this.#isInForce(told))) {
      const standing = this.#context.models.refusing.byId(told);
      const isHeld = this.#verdicts.mayHold && !this.#heldRoom.isFull(told);
      if (standing === undefined || isHeld) {
        this.#recordHeld(told, request, key, sender, recipients);
        return DUNNO;
      }
      // This takes it off the mail server's hold. It is another refusal than the HOLD that its recipients were told.
      message.held = undefined;
      return this.#refuse(standing, 'data', request, sender, message);
    }
    // The decision on a block that has ended was none on this message, which has to leave the mail server's hold.
    message.held = undefined;
    if (block === undefined) {
      if (told !== undefined || this.#isTooMuch(sender, recipients))
        return this.#putOff(request, sender, message, recipients, told);
      this.#record(request, key, sender, message, recipients);
      return DUNNO;
    }
    const answer = this.#refuse(block, 'data', request, sender, message);
    if (message.held !== undefined) this.#recordHeld(message.held, request, key, sender, recipients);
    return answer;
  }

  /** Whether a block refuses still. What is not known was so when its sender was told. */
  #isInForce(id: string): boolean {
    const { models, knows, clock } = this.#context;
    const block = models.refusing.byId(id);
    return !knows() || (block !== undefined && !isOver(block.until, clock.now()));
  }

  /**
   * Whether more of the account is in the air than may be. As at the front door only mail with a login is bounded. What
   * cannot be counted, or could not be blocked, goes on.
   */
  #isTooMuch({ identity: { account } }: Sender, recipients: number): boolean {
    if (account === undefined || this.#inTheAir.mayEnter(account, recipients, this.#roomOf)) return false;
    const { knows, store } = this.#context;
    return knows() && store.healthy;
  }

  #putOff(
    request: PolicyRequest,
    { identity: { account = '' } }: Sender,
    message: AskedMessage,
    recipients: number,
    block: string | undefined,
  ): string {
    message.isPutOff = true;
    this.#context.recorder.putOff({ correlation: transactionOf(request), account, recipients, block });
    return this.#later;
  }

  #refuse(
    block: ActiveBlock,
    stage: 'rcpt' | 'data',
    request: PolicyRequest,
    sender: Sender,
    message: AskedMessage,
  ): string {
    const isHoldable = canHold(stage, request);
    const { action, line, isUnheld, isFull } = this.#verdicts.refuse(
      block,
      stage,
      sender,
      transactionOf(request),
      {
        // Each recipient of a message that is held is told the same, and so are its data and its end: it is one refusal.
        isTold: message.held !== undefined || (stage === 'data' && message.isUnheld),
        isHoldable,
        // What was told that it is held is looked at again at its end, once.
        isFull: message.held === undefined && this.#heldRoom.isFull(block.id),
      },
    );
    if (action === 'hold') message.held ??= block.id;
    if (isUnheld === true) {
      if (!message.isUnheld && isFull === true) this.#asked.full++;
      else if (!message.isUnheld && request.stopgap_hold !== 'no') this.#asked.unheld++;
      message.isUnheld = true;
    }
    return line;
  }

  #record(
    request: PolicyRequest,
    key: string | undefined,
    { fields, identity }: Sender,
    message: AskedMessage,
    recipients: number,
  ): void {
    const { recorder, metrics, senders, clock } = this.#context;
    const { account, returnPath = '', direction } = fields;
    const data = Object.assign(this.#measured(request, fields, recipients), {
      recipientDomains: message.domains,
      entitled: account === undefined || isEntitled(senders(), account, returnPath),
    });
    const streamKey = sendStreamKey(identity);
    // Another program may tell of the same message by its queue id: it must be the same event.
    const id =
      request.queue_id === ''
        ? askedMessageId(this.#nameOf(key, data.transaction))
        : queuedMessageId(streamKey, data.transaction, clock.now());
    const isTaken = recorder.sent(id, streamKey, data, (error, appended) => {
      if (identity.account !== undefined) this.#landed(identity.account, recipients, appended);
      this.#written(error, () => metrics.smtp.accepted(direction, recipients));
    });
    if (!isTaken) this.#lost('full', 'too many wait to be written');
    else if (identity.account !== undefined) this.#inTheAir.enter(identity.account, recipients);
  }

  /** Its record is durable, or lost. */
  #landed(account: string, recipients: number, appended: Appended | undefined): void {
    const inForce = appended === undefined ? undefined : this.#context.accepted(appended);
    const leave = (): void => this.#inTheAir.leave(account, recipients);
    if (inForce === undefined) leave();
    else void inForce.then(leave, leave);
  }

  #recordHeld(
    block: string,
    request: PolicyRequest,
    key: string | undefined,
    { fields }: Sender,
    recipients: number,
  ): void {
    const data = Object.assign(this.#measured(request, fields, recipients), { block });
    const id = idOf(`held/${this.#nameOf(key, data.transaction)}`);
    const landed = this.#heldRoom.enter(block, data.size);
    const isTaken = this.#context.recorder.held(id, data, (error, appended) => {
      landed(appended?.revision);
      this.#written(error);
    });
    if (isTaken) return;
    landed(undefined);
    this.#lost('full', 'too many wait to be written');
  }

  /** What is recorded of every message at its end: added to the fields, since a copy would cost more than all the rest. */
  #measured(request: PolicyRequest, fields: SenderFields, recipients: number): Measured {
    return Object.assign(fields, this.#verdicts.placeOf(fields), {
      transaction: transactionOf(request),
      recipients,
      size: countOf(request.size, LARGEST_SIZE),
    });
  }

  /** What names the message: another process that is asked again makes the same id of it. */
  #nameOf(key: string | undefined, transaction: string): string {
    return key ?? `${transaction}/${this.#context.clock.now()}`;
  }

  #written(error: unknown, then: () => void = () => undefined): void {
    if (error === undefined) {
      this.#context.lost.worked();
      then();
    } else this.#lost('store', messageOf(error));
  }

  #lost(reason: 'store' | 'full', error: string): void {
    this.#context.metrics.policy.lost(reason);
    this.#context.lost.failed(error);
  }

  #senderOf(request: PolicyRequest): Sender {
    return this.#verdicts.senderOf({
      account: decoded(request.sasl_username),
      returnPath: sentAddress(request.sender),
      // Postfix lets clients log in without EHLO: a thief could else have no name that is new.
      ehlo: decoded(request.helo_name) || (request.sasl_username === '' ? '' : NAMELESS),
      ip: decoded(request.client_address),
    });
  }
}

/**
 * Whether HOLD can have an effect. Postfix names a queue id from the first recipient that it takes on. It has none where a
 * filter before the queue gets the message (smtpd_proxy_filter): then it lets HOLD be, at RCPT too, and goes on. Exim's recipe
 * says of mail that Exim would let go by itself that it cannot be held.
 */
function canHold(
  stage: 'rcpt' | 'data' | 'end_of_message',
  { queue_id, stopgap_hold }: PolicyRequest,
): boolean {
  return stopgap_hold !== 'no' && (stage === 'rcpt' || queue_id !== '');
}

function recipientsOf(request: PolicyRequest, message: AskedMessage): number {
  return Math.max(1, countOf(request.recipient_count, MOST_RECIPIENTS) || message.recipients);
}

/** The id in Postfix's Received header; at the first recipient there is none yet. */
function transactionOf({ queue_id, instance }: PolicyRequest): string {
  return decoded(queue_id) || decoded(instance) || 'unknown';
}
