import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import type { SenderPolicy } from '../accounts/senders.js';
import { isEntitled } from '../accounts/senders.js';
import type { Config } from '../config/schema.js';
import type { ReadModels } from '../detector/read-models.js';
import type { GeoPlace } from '../geoip/database.js';
import { messageOf } from '../kernel/errors.js';
import type { Clock } from '../kernel/time.js';
import type { Trouble } from '../log/trouble.js';
import type { PolicyMeter } from '../metrics/policy.js';
import type { SmtpMeter } from '../metrics/smtp.js';
import type { Recorder } from '../recording/recorder.js';
import { idOf } from '../runtime/ids.js';
import type { MessageHeld, SenderFields } from '../sending/events.js';
import { isWithin, normalizeIp } from '../sending/identity.js';
import type { MailDirection, SenderIdentity } from '../sending/subjects.js';
import { senderIdentity, sendStreamKey } from '../sending/subjects.js';
import { refusalReply, replyLine } from '../smtp/replies.js';
import type { Tracing } from '../tracing/tracing.js';
import type { AskedMessage } from './messages.js';
import { AskedMessages, keyOf, noteRecipient } from './messages.js';
import type { PolicyRequest } from './request.js';
import { countOf, decoded } from './request.js';

/** What a mail server is told that may go on: its other restrictions decide. Never OK, which would end them. */
export const DUNNO = 'DUNNO';
const HOLD = 'HOLD';

const MOST_RECIPIENTS = 1_000_000;
const LARGEST_SIZE = 2 ** 40;

/** What answering needs of the rest. */
export interface PolicyContext {
  readonly settings: Pick<Config['policy'], 'refuse' | 'ownNetworks'>;
  readonly clock: Clock;
  readonly models: Pick<ReadModels, 'refusing'>;
  /** Whether what is blocked is known. */
  readonly knows: () => boolean;
  readonly recorder: Pick<Recorder, 'refused' | 'sent' | 'held'>;
  readonly metrics: { readonly policy: PolicyMeter; readonly smtp: Pick<SmtpMeter, 'refused' | 'accepted'> };
  /** Undefined if nothing is traced. */
  readonly tracing?: Tracing | undefined;
  readonly placeOf: (ip: string) => GeoPlace;
  readonly senders: () => SenderPolicy;
  /** Whom an honest refusal names. */
  readonly contact: string | undefined;
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
}

type Measured = SenderFields & Pick<MessageHeld, 'transaction' | 'recipients' | 'size'>;

/** One sender as one request names it. */
interface Sender {
  readonly fields: SenderFields;
  readonly identity: SenderIdentity;
}

/**
 * Answers a mail server that asks whether it may go on. An answer comes from memory and waits for nothing: neither for the
 * record of a send nor for a store that is away. What cannot be judged goes on.
 */
export class PolicyService {
  readonly #context: PolicyContext;
  readonly #messages = new AskedMessages();
  readonly #asked = { rcpt: 0, data: 0, endOfMessage: 0, withLogin: 0 };

  constructor(context: PolicyContext) {
    this.#context = context;
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
    const answer =
      stage === 'end_of_message'
        ? (message.answer ??= this.#atEnd(request, key, message))
        : this.#before(request, stage, message);
    policy.answered(stage, answer === DUNNO ? 'dunno' : answer === HOLD ? 'held' : 'refused');
    return answer;
  }

  #before(request: PolicyRequest, stage: 'rcpt' | 'data', message: AskedMessage): string {
    if (stage === 'rcpt') message.recipients++;
    noteRecipient(message, request);
    const sender = this.#senderOf(request);
    const block = this.#blockOf(sender);
    if (block === undefined) return DUNNO;
    return this.#refuse(block, stage, request, sender, message);
  }

  /** The whole message is there: it is refused, or it is a send. */
  #atEnd(request: PolicyRequest, key: string | undefined, message: AskedMessage): string {
    noteRecipient(message, request);
    const sender = this.#senderOf(request);
    const wasHeld = message.held !== undefined;
    const block = wasHeld ? undefined : this.#blockOf(sender);
    const answer = block === undefined ? DUNNO : this.#refuse(block, 'data', request, sender, message);
    // Only now the queue id is sure, and that there is a message.
    if (message.held !== undefined) this.#recordHeld(message.held, request, key, sender, message);
    else if (block === undefined) this.#record(request, key, sender, message);
    return answer;
  }

  #blockOf({ identity }: Sender): ActiveBlock | undefined {
    const { models, knows, clock } = this.#context;
    return knows() ? models.refusing.find(identity, clock.now()) : undefined;
  }

  #refuse(
    block: ActiveBlock,
    stage: 'rcpt' | 'data',
    request: PolicyRequest,
    { fields }: Sender,
    message: AskedMessage,
  ): string {
    const { settings, contact, metrics, recorder, tracing } = this.#context;
    const correlation = transactionOf(request);
    const isHeld = block.refusal === 'hold' || (settings.refuse === 'hold' && block.refusal !== 'honest');
    const reply = refusalReply(block.refusal, contact);
    const code = settings.refuse === '450' && block.refusal !== 'honest' ? 450 : reply.code;
    const action = isHeld ? HOLD : replyLine({ ...reply, code });
    metrics.smtp.refused(stage, block.refusal);
    // Each recipient of a message that is held is told the same: it is one refusal.
    if (message.held === undefined)
      recorder.refused(
        { ...fields, ...this.#placeOf(fields), stage, block: block.id, reply: action },
        correlation,
        tracing?.refused(block.id, stage, code, correlation, undefined),
      );
    if (isHeld) message.held ??= block.id;
    return action;
  }

  #record(
    request: PolicyRequest,
    key: string | undefined,
    { fields, identity }: Sender,
    message: AskedMessage,
  ): void {
    const { recorder, metrics, senders } = this.#context;
    const { account, returnPath = '', direction } = fields;
    const data = {
      ...this.#measured(request, fields, message),
      recipientDomains: [...message.domains],
      entitled: account === undefined || isEntitled(senders(), account, returnPath),
    };
    const id = this.#idOf('policy', key, data.transaction);
    const isTaken = recorder.sent(id, sendStreamKey(identity), data, (error) =>
      this.#written(error, () => metrics.smtp.accepted(direction, data.recipients)),
    );
    if (!isTaken) this.#lost('full', 'too many wait to be written');
  }

  #recordHeld(
    block: string,
    request: PolicyRequest,
    key: string | undefined,
    { fields }: Sender,
    message: AskedMessage,
  ): void {
    const data = { block, ...this.#measured(request, fields, message) };
    const id = this.#idOf('held', key, data.transaction);
    const isTaken = this.#context.recorder.held(id, data, (error) => this.#written(error));
    if (!isTaken) this.#lost('full', 'too many wait to be written');
  }

  /** What is recorded of every message at its end. */
  #measured(request: PolicyRequest, fields: SenderFields, message: AskedMessage): Measured {
    return {
      ...fields,
      ...this.#placeOf(fields),
      transaction: transactionOf(request),
      recipients: Math.max(1, countOf(request.recipient_count, MOST_RECIPIENTS) || message.recipients),
      size: countOf(request.size, LARGEST_SIZE),
    };
  }

  /** Made of what names the message, so that another process that is asked again writes the same event. */
  #idOf(kind: 'policy' | 'held', key: string | undefined, transaction: string): string {
    return idOf(`${kind}/${key ?? `${transaction}/${this.#context.clock.now()}`}`);
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
    const account = decoded(request.sasl_username);
    const ip = normalizeIp(decoded(request.client_address));
    const ehlo = decoded(request.helo_name);
    const returnPath = decoded(request.sender);
    const direction: MailDirection =
      account !== '' || (ip !== undefined && this.#isOwn(ip)) ? 'outbound' : 'inbound';
    return {
      fields: {
        direction,
        ...(account === '' ? {} : { account }),
        returnPath,
        ...(ehlo === '' ? {} : { ehlo }),
        ...(ip === undefined ? {} : { ip }),
      },
      identity: senderIdentity({ account, returnPath, ehlo, ip, direction }),
    };
  }

  #placeOf({ ip }: SenderFields): GeoPlace {
    return ip === undefined ? {} : this.#context.placeOf(ip);
  }

  /** Whether clients there send without a login, as Postfix's mynetworks do. */
  #isOwn(ip: string): boolean {
    return this.#context.settings.ownNetworks.some((network) => isWithin(ip, network));
  }
}

/** The id in Postfix's Received header; at the first recipient there is none yet. */
function transactionOf({ queue_id, instance }: PolicyRequest): string {
  return decoded(queue_id) || decoded(instance) || 'unknown';
}
