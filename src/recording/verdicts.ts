import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import type { Config } from '../config/schema.js';
import type { ReadModels } from '../detector/read-models.js';
import type { GeoPlace } from '../geoip/database.js';
import type { Clock } from '../kernel/time.js';
import type { SmtpMeter } from '../metrics/smtp.js';
import type { AuthenticationFailed, RefusalStage, SenderFields } from '../sending/events.js';
import { clientNetwork, isWithin, normalizeIp } from '../sending/identity.js';
import type { MailDirection, SenderIdentity } from '../sending/subjects.js';
import { senderIdentity } from '../sending/subjects.js';
import type { SmtpReply } from '../smtp/replies.js';
import { BAD_CREDENTIALS, LOGIN_LATER, refusalReply, replyLine } from '../smtp/replies.js';
import type { EventStore } from '../store/port.js';
import type { Tracing } from '../tracing/tracing.js';
import type { Recorder } from './recorder.js';

/** What a mail server does with the mail of a blocked sender: Postfix's name for it. */
export const HOLD = 'HOLD';

/** Who sends, as a mail server that asks or reports names it. What is empty is not known; an empty return path is the null sender. */
export interface Names {
  readonly account: string;
  /** Undefined before MAIL FROM. */
  readonly returnPath: string | undefined;
  readonly ehlo: string;
  readonly ip: string;
  /** Follows from the login and the address unless given. */
  readonly direction?: MailDirection | undefined;
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** One sender, as events record it and as blocks are compared with it. */
export interface Sender {
  readonly fields: SenderFields;
  readonly identity: SenderIdentity;
}

/** What a mail server is to do with a blocked sender. */
export interface Refused {
  readonly action: 'refuse' | 'hold';
  readonly block: string;
  readonly reply: SmtpReply;
  /** As it is recorded: the reply's line, or `HOLD`. */
  readonly line: string;
  /** Refused because it is not held, though it should be. */
  readonly isUnheld?: true;
  /** That is so because the block holds as much as one may, not because the mail server cannot hold it. */
  readonly isFull?: true;
}

/** What is known of the mail that is refused. */
interface RefusedMail {
  /** Whether the mail server can hold it. One that does not say so cannot: its client would be told what nobody here knows. */
  readonly isHoldable: boolean;
  /** It has been refused, and recorded, already. */
  readonly isTold?: boolean;
  /** The block holds as much as one may. */
  readonly isFull?: boolean;
}

/** How often mail servers have asked about mail since the start. */
export interface Questions {
  readonly asked: number;
  readonly withLogin: number;
  /** By those who can hold mail. */
  readonly holding: number;
}

/** What a verdict needs of the rest. */
export interface VerdictContext {
  readonly settings: Pick<Config['policy'], 'refuse' | 'ownNetworks'>;
  readonly clock: Clock;
  readonly models: Pick<ReadModels, 'refusing'>;
  /** Whether what is blocked is known. */
  readonly knows: () => boolean;
  readonly recorder: Pick<Recorder, 'refused' | 'loginFailed' | 'isBehind'>;
  readonly store: Pick<EventStore, 'healthy'>;
  readonly metrics: { readonly smtp: Pick<SmtpMeter, 'refused' | 'login'> };
  /** Undefined if nothing is traced. */
  readonly tracing?: Tracing | undefined;
  readonly placeOf: (ip: string) => GeoPlace;
  /** Whom an honest refusal names. */
  readonly contact: string | undefined;
}

/** How a block refuses mail where a mail server asks. @param contact whom an honest refusal names */
export function refusalWhereAsked(
  { id, refusal }: Pick<ActiveBlock, 'id' | 'refusal'>,
  refuse: Config['policy']['refuse'],
  contact: string | undefined,
): Refused {
  const isHeld = refusal === 'hold' || (refuse === 'hold' && refusal !== 'honest');
  const reply = refusalReply(refusal, contact);
  const code = refuse === '450' && refusal !== 'honest' ? 450 : reply.code;
  const told = { ...reply, code };
  return {
    action: isHeld ? 'hold' : 'refuse',
    block: id,
    reply: told,
    line: isHeld ? HOLD : replyLine(told),
  };
}

/** What becomes of mail that is to be held, and cannot or may not be: it is told to come again. */
function inPlaceOfHold(held: Refused): Refused {
  return { ...held, action: 'refuse', line: replyLine(held.reply) };
}

/** Judges senders for mail servers that ask, by the policy protocol or over HTTP. From memory: nothing here waits. */
export class Verdicts {
  readonly #context: VerdictContext;
  readonly #questions: Mutable<Questions> = { asked: 0, withLogin: 0, holding: 0 };

  constructor(context: VerdictContext) {
    this.#context = context;
  }

  senderOf({ account, returnPath, ehlo, ip: address, direction: given }: Names): Sender {
    const ip = normalizeIp(address);
    const direction =
      given ?? (account !== '' || (ip !== undefined && this.#isOwn(ip)) ? 'outbound' : 'inbound');
    const fields: Mutable<SenderFields> = { direction };
    if (account !== '') fields.account = account;
    if (returnPath !== undefined) fields.returnPath = returnPath;
    if (ehlo !== '') fields.ehlo = ehlo;
    if (ip !== undefined) fields.ip = ip;
    return {
      fields,
      identity: senderIdentity({ account, returnPath, ehlo, ip, direction }),
    };
  }

  /** What is known of where the client is, for the record. */
  placeOf({ ip }: SenderFields): GeoPlace {
    return ip === undefined ? {} : this.#context.placeOf(ip);
  }

  /** Whether anybody has asked about mail since the start: as long as nobody does, no block refuses any. */
  get wasAsked(): boolean {
    return this.#questions.asked > 0;
  }

  get questions(): Questions {
    return this.#questions;
  }

  /**
   * The block that refuses a sender's mail now. None as long as it is not known who is blocked.
   *
   * @param isHoldable whether the mail server that asks can hold the mail
   */
  blockOf(sender: Pick<Sender, 'identity'>, isHoldable: boolean): ActiveBlock | undefined {
    this.#questions.asked++;
    if (sender.identity.account !== undefined) this.#questions.withLogin++;
    if (isHoldable) this.#questions.holding++;
    return this.#find(sender);
  }

  #find({ identity }: Pick<Sender, 'identity'>): ActiveBlock | undefined {
    const { models, knows, clock } = this.#context;
    return knows() ? models.refusing.find(identity, clock.now()) : undefined;
  }

  refusalOf(block: Pick<ActiveBlock, 'id' | 'refusal'>): Refused {
    const { settings, contact } = this.#context;
    return refusalWhereAsked(block, settings.refuse, contact);
  }

  /** Whether it can be recorded that mail is held. Held without a record it would be listed nowhere, and stay there. */
  get mayHold(): boolean {
    const { store, recorder } = this.#context;
    return store.healthy && !recorder.isBehind;
  }

  /** Counts and records a refusal of mail. */
  refuse(
    block: ActiveBlock,
    stage: Exclude<RefusalStage, 'auth'>,
    { fields }: Sender,
    correlation: string,
    { isHoldable, isTold = false, isFull = false }: RefusedMail,
  ): Refused {
    const { metrics, models } = this.#context;
    let refused = this.refusalOf(block);
    if (refused.action === 'hold') {
      if (!isHoldable) refused = { ...inPlaceOfHold(refused), isUnheld: true };
      // What is held for a block is listed, and let go of, by its id. This one is not recorded, and may never be under this id.
      else if (models.refusing.byId(block.id) === undefined || !this.mayHold)
        refused = inPlaceOfHold(refused);
      else if (isFull) refused = { ...inPlaceOfHold(refused), isUnheld: true, isFull: true };
    }
    metrics.smtp.refused(stage, block.refusal);
    if (!isTold) this.#record(block, stage, fields, correlation, refused);
    return refused;
  }

  /** Whether a login with the right password is to fail, which is recorded. */
  refuseLogin(names: Names, correlation: string): Refused | undefined {
    const { metrics, recorder } = this.#context;
    const block = this.#blockOfLogin(names);
    if (block === undefined) return undefined;
    const { fields } = this.senderOf({ ...names, returnPath: undefined, direction: 'outbound' });
    const reply = block.refusal === 'soft' ? BAD_CREDENTIALS : LOGIN_LATER;
    const refused: Refused = { action: 'refuse', block: block.id, reply, line: replyLine(reply) };
    metrics.smtp.login('feigned');
    metrics.smtp.refused('auth', block.refusal);
    if (fields.ip !== undefined) {
      const network = clientNetwork(fields.ip);
      recorder.loginFailed({ network, ...feigned(block, names), ...this.placeOf(fields) });
    }
    this.#record(block, 'auth', fields, correlation, refused);
    return refused;
  }

  /** What a failed login was: feigned where we make such logins fail. */
  failureOf(names: Names): Pick<AuthenticationFailed, 'kind' | 'block' | 'account'> {
    const block = names.account === '' ? undefined : this.#blockOfLogin(names);
    return block === undefined ? { kind: 'genuine' } : feigned(block, names);
  }

  /** The block by which a login fails. Mail that is held, or refused honestly, needs the login. */
  #blockOfLogin(names: Names): ActiveBlock | undefined {
    // Address and domain subjects match the login's own address.
    const sender = { ...names, returnPath: names.account, direction: 'outbound' } as const;
    const block = this.#find(this.senderOf(sender));
    const passes =
      block?.refusal === 'honest' || (block !== undefined && this.refusalOf(block).action === 'hold');
    return passes ? undefined : block;
  }

  #record(
    block: ActiveBlock,
    stage: RefusalStage,
    fields: SenderFields,
    correlation: string,
    { line, reply, isUnheld, isFull }: Refused,
  ): void {
    const { recorder, tracing } = this.#context;
    const data = { ...fields, ...this.placeOf(fields), stage, block: block.id, reply: line };
    recorder.refused(
      isUnheld === true ? { ...data, unheld: true, ...(isFull === true ? { full: true } : {}) } : data,
      correlation,
      tracing?.refused(block.id, stage, reply.code, correlation, undefined),
    );
  }

  /** Whether clients there send without a login, as Postfix's mynetworks do. */
  #isOwn(ip: string): boolean {
    return this.#context.settings.ownNetworks.some((network) => isWithin(ip, network));
  }
}

/** The name is no stranger's guess where it is what the block is about. */
function feigned(
  { id, type }: ActiveBlock,
  { account }: Names,
): Pick<AuthenticationFailed, 'block' | 'account'> & { readonly kind: 'feigned' } {
  const isKnown = account !== '' && type !== 'ip' && type !== 'ehlo';
  return { kind: 'feigned', block: id, ...(isKnown ? { account } : {}) };
}
