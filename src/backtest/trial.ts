import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import type { BlockCommand, Impose, Span } from '../blocks/commands.js';
import type { BlockEvent, BlockImposed, ProposalApproved, Until } from '../blocks/events.js';
import { isBlockEvent } from '../blocks/events.js';
import { isLater } from '../blocks/state.js';
import { SCHEDULED_JOBS } from '../detector/scheduled-jobs.js';
import { StopgapError } from '../kernel/errors.js';
import type { RecordedEvent } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import type { RuleSet } from '../rules/model.js';
import { recentlyUsed } from '../runtime/recently-used.js';
import type {
  AuthenticationFailed,
  BounceReceived,
  MessageAccepted,
  MessageRefused,
  RecipientsRefused,
} from '../sending/events.js';
import type { SenderIdentity, Subject } from '../sending/subjects.js';
import { senderIdentity } from '../sending/subjects.js';
import type { BacktestCase, CaseListener, CaseVerdict, Mail } from './cases.js';
import { CaseBook } from './cases.js';
import type { Attack, Labels } from './labels.js';
import { Scorer } from './labels.js';
import type { Sender, Senders } from './senders.js';
import type { ActivityEvent } from './world.js';
import { BacktestWorld } from './world.js';

/** One rule set that is tried out. */
export interface Candidate {
  /** What reports call it. */
  readonly name: string;
  readonly rules: RuleSet;
}

export interface TrialOptions extends Candidate {
  /** Its place among those that are compared. */
  readonly index: number;
  readonly start: Instant;
  readonly senders: Senders;
  readonly labels?: Labels | undefined;
  /** What people have said of a case, if there are no labels. */
  readonly judge?: ((one: BacktestCase) => CaseVerdict) | undefined;
  readonly listener: CaseListener;
}

/** Refused messages of which it is known that none of them came back. */
const STOPPED_KEPT = 100_000;

/** One rule set against what happened: what it refuses, the resulting cases, and how right they are. */
export class Trial {
  readonly name: string;
  readonly rules: RuleSet;
  readonly world: BacktestWorld;
  readonly cases: CaseBook;
  readonly accepted: Mail = { messages: 0, recipients: 0 };
  readonly refused: Mail = { messages: 0, recipients: 0 };
  /** Attempts that were refused when they were recorded: by whether these rules refuse them too. */
  readonly attempts = { refused: 0, letThrough: 0 };
  readonly scorer: Scorer | undefined;
  readonly #people: People;
  /** The recorded messages that these rules refuse, the last of them: mail servers give up within days. */
  readonly #stopped = recentlyUsed<string, true>(STOPPED_KEPT);
  readonly #index: number;
  readonly #judge: (one: BacktestCase) => CaseVerdict;
  /** The attack that the message under way belongs to: what it trips has caught it. */
  #attack: Attack | undefined;

  constructor({ name, rules, index, start, senders, labels, judge, listener }: TrialOptions) {
    this.name = name;
    this.rules = rules;
    this.#index = index;
    this.scorer = labels === undefined ? undefined : new Scorer(labels);
    this.#judge =
      labels === undefined ? (judge ?? (() => null)) : ({ caught }) => (caught ? 'right' : 'wrong');
    const sentThatDay = (subject: Subject): Readonly<Mail> | null =>
      subject.type === 'account' ? senders.sentToday(subject.value, index) : null;
    const listen: CaseListener = {
      opened: (one) => this.#opened(one),
      blocked: (one) => this.#blocked(one, listener),
      closed: (one) => this.#closed(one, listener),
    };
    this.cases = new CaseBook(listen, sentThatDay);
    this.world = new BacktestWorld({
      rules,
      start,
      scheduledJobs: SCHEDULED_JOBS,
      onBlockEvent: (event) => this.cases.apply(event),
    });
    this.#people = new People(this.world);
  }

  /**
   * @param identity who sends it; undefined if nobody is refused
   * @returns the block that refused the message
   */
  message(
    activity: ActivityEvent,
    identity: SenderIdentity | undefined,
    sender: Sender,
    attack: Attack | undefined,
  ): ActiveBlock | undefined {
    const { recipients } = activity.data as MessageAccepted;
    const refusing = identity && this.world.refusing(identity);
    const rule = refusing && this.cases.get(refusing.id)?.rule;
    this.scorer?.message(activity.at, recipients, attack, sender.label, refusing !== undefined, rule);
    if (refusing !== undefined) {
      this.world.refused(refusing, activity.data as MessageAccepted);
      if (activity.id !== undefined) this.#stopped.set(activity.id, true);
      add(this.refused, recipients);
      this.#credit(refusing, recipients, identity!, attack);
      return refusing;
    }
    add(this.accepted, recipients);
    add(sender.sent[this.#index]!, recipients);
    this.#attack = attack;
    this.world.fold(activity);
    this.#attack = undefined;
    return undefined;
  }

  /** Any other activity: refused recipients, bounces, failed logins. */
  other(activity: ActivityEvent): void {
    switch (activity.type) {
      case 'RecipientsRefused':
        // A refused sender gets no further recipient refusals.
        if (this.world.refusing(senderIdentity(activity.data as RecipientsRefused)) === undefined)
          this.world.fold(activity);
        return;
      case 'MessageRefused':
        return this.#refusedThen(activity);
      case 'BounceReceived': {
        const { send } = activity.data as BounceReceived;
        // What these rules refuse has reached nobody who could send it back.
        if (send === undefined || !this.#stopped.has(send)) this.world.fold(activity);
        return;
      }
      case 'AuthenticationFailed':
        return this.#loginFailed(activity);
      default: {
        // A block event carries what `apply` asks for: it was recorded.
        const event = activity as RecordedEvent;
        if (isBlockEvent(event)) this.#people.apply(event);
        else this.world.fold(activity);
      }
    }
  }

  /** Nothing more happens: what is still open is handed over. */
  close(): void {
    this.cases.close();
  }

  /**
   * A login that these rules make fail is feigned, whatever it was then. Where they let it through, one that was feigned then
   * counts for nothing: whether its password was right nobody knows.
   */
  #loginFailed(activity: ActivityEvent): void {
    const data = activity.data as AuthenticationFailed;
    const { account, network, kind } = data;
    // The address that a network begins with lies in it.
    const ip = network.replace('/64', '');
    const sender = senderIdentity({ account, returnPath: account, ip, direction: 'outbound' });
    const refusing = this.world.refusing(sender);
    // An honest block lets logins pass.
    if (refusing !== undefined && refusing.refusal !== 'honest')
      this.world.fold({ ...activity, data: { ...data, kind: 'feigned', block: refusing.id } });
    else if (kind === 'genuine') this.world.fold(activity);
  }

  /** What was refused then is an attempt still; how many recipients it would have had nobody knows. */
  #refusedThen(activity: ActivityEvent): void {
    const data = activity.data as MessageRefused;
    // At AUTH there is no return path yet: a login is taken for its own address.
    const refusing = this.world.refusing(
      senderIdentity({ ...data, returnPath: data.returnPath ?? data.account }),
    );
    if (refusing !== undefined) this.world.fold({ ...activity, data: { ...data, block: refusing.id } });
    if (this.world.acting) this.attempts[refusing === undefined ? 'letThrough' : 'refused'] += data.count;
  }

  #credit(
    refusing: ActiveBlock,
    recipients: number,
    identity: SenderIdentity,
    attack: Attack | undefined,
  ): void {
    const strongest = this.cases.get(refusing.id);
    if (strongest !== undefined) {
      add(strongest.refused, recipients);
      add(this.cases.tallyOf(strongest.rule).refused, recipients);
    }
    if (attack === undefined) return;
    // Each block that covers the attack is right, not only the one that ends last.
    for (const id of this.world.models.ledger.rows.inForce(identity, this.world.now)) {
      const one = this.cases.get(id);
      if (one !== undefined) one.caught = true;
    }
  }

  #opened(one: BacktestCase): void {
    // A proposal stops nothing: it is right if an attack tripped it.
    if (one.proposedAt === null) return;
    one.caught = this.#attack !== undefined;
    this.scorer?.proposed();
  }

  #blocked(one: BacktestCase, listener: CaseListener): void {
    // From here on it is judged by what it stops.
    one.caught = false;
    listener.blocked?.(one);
  }

  #closed(one: BacktestCase, listener: CaseListener): void {
    this.cases.judge(one, this.#judge(one));
    if (one.blockedAt !== null) this.scorer?.block(one.judged === 'wrong');
    listener.closed?.(one);
  }
}

function add(mail: Mail, recipients: number): void {
  mail.messages++;
  mail.recipients += recipients;
}

const ADMIN = 'admin:';

/** A recorded block or proposal as it came to be. Of a proposal there is no end. */
type Recorded = Pick<BlockImposed, 'subject' | 'direction' | 'description' | 'refusal'> & {
  readonly until?: Until;
};

/**
 * What people did, done again under other rules, in so far as there is something there to do it to: their own blocks
 * and exemptions come into force, and what they said of a subject's block or proposal is said of the one that it has
 * now. What the rules of then brought about is left out.
 */
class People {
  readonly #world: BacktestWorld;
  /** The recorded blocks and proposals that are open. */
  readonly #open = new Map<string, Recorded>();
  /** The recorded exemptions in force: their subjects, and their ids here. */
  readonly #exemptions = new Map<string, { subject: Subject; id: string }>();

  constructor(world: BacktestWorld) {
    this.#world = world;
  }

  apply(event: BlockEvent): void {
    const isPersons = event.by.startsWith(ADMIN);
    switch (event.type) {
      case 'BlockProposed':
        this.#open.set(event.data.block, event.data);
        return;
      case 'BlockImposed':
        this.#open.set(event.data.block, event.data);
        if (isPersons && event.data.origin === 'admin') this.#impose(event.data, event.data.until, event.by);
        return;
      case 'ProposalApproved':
        return this.#toProposal(event, event.data.block, (block) => ({
          kind: 'approve',
          block,
          ...spanOf(event.data),
        }));
      case 'ProposalDismissed': {
        const { block: recorded, falsePositive = false } = event.data;
        const subject = this.#open.get(recorded)?.subject;
        // One that went because its subject became exempt goes only if it is exempt here too.
        if (isPersons || (subject !== undefined && this.#world.isExempt(subject)))
          this.#toProposal(event, recorded, (block) => ({ kind: 'dismiss', block, falsePositive }));
        this.#open.delete(recorded);
        return;
      }
      case 'BlockExtended': {
        const { block: recorded, until, direction, description, refusal } = event.data;
        const before = this.#open.get(recorded);
        if (before === undefined) return;
        const { subject } = before;
        const after = {
          subject,
          direction,
          description: description ?? before.description,
          refusal: refusal ?? before.refusal,
          until,
        };
        this.#open.set(recorded, after);
        if (!isPersons) return;
        const isStronger = direction !== before.direction || until !== before.until;
        if (!isStronger)
          return this.#toBlock(event, recorded, (block) => ({ kind: 'change', block, description, refusal }));
        // A block that is there keeps what this person left as it was.
        const isThere = this.#world.standing(subject).block !== undefined;
        return this.#impose(isThere ? { subject, direction, description, refusal } : after, until, event.by);
      }
      case 'BlockShortened': {
        const { block: recorded, until } = event.data;
        const before = this.#open.get(recorded);
        if (before !== undefined) this.#open.set(recorded, { ...before, until });
        if (isPersons)
          this.#toBlock(event, recorded, (block) => ({ kind: 'change', block, span: { until } }));
        return;
      }
      case 'BlockReleased': {
        const { block: recorded, falsePositive } = event.data;
        this.#toBlock(event, recorded, (block) => ({ kind: 'release', block, falsePositive }));
        this.#open.delete(recorded);
        return;
      }
      case 'BlockExpired':
      case 'ProposalLapsed':
        this.#open.delete(event.data.block);
        return;
      case 'ExemptionGranted': {
        const { exemption, subject, until, reason } = event.data;
        const newId = this.#world.newId();
        this.#exemptions.set(exemption, { subject, id: newId });
        return this.#do(subject, { kind: 'grant', subject, until, reason, newId }, event.by);
      }
      case 'ExemptionRevoked': {
        const granted = this.#exemptions.get(event.data.exemption);
        if (granted === undefined) return;
        this.#exemptions.delete(event.data.exemption);
        return this.#do(granted.subject, { kind: 'revoke', exemption: granted.id }, event.by);
      }
      case 'ExemptionApplied':
      case 'RuleObserved':
      case 'HeldMailDecided':
      case 'HookRan':
        return;
    }
  }

  /** A person wants a subject blocked until then, whatever the rules do. */
  #impose(terms: Omit<Impose, 'kind' | 'until' | 'duration' | 'newId'>, until: Until, by: string): void {
    const { subject, direction, description, refusal } = terms;
    const newId = this.#world.newId();
    const there = this.#world.standing(subject).block;
    // Here a rule may have blocked for longer: then that end holds.
    const end = there !== undefined && isLater(there.until, until) ? there.until : until;
    this.#do(subject, { kind: 'impose', subject, direction, description, refusal, until: end, newId }, by);
  }

  #toProposal(event: BlockEvent, recorded: string, command: (block: string) => BlockCommand): void {
    const subject = this.#open.get(recorded)?.subject;
    const standing = subject && this.#world.standing(subject).proposal;
    if (standing !== undefined) this.#do(subject!, command(standing.id), event.by);
  }

  #toBlock(event: BlockEvent, recorded: string, command: (block: string) => BlockCommand): void {
    const subject = this.#open.get(recorded)?.subject;
    const standing = subject && this.#world.standing(subject).block;
    if (standing !== undefined) this.#do(subject!, command(standing.id), event.by);
  }

  #do(subject: Subject, command: BlockCommand, by: string): void {
    try {
      this.#world.execute(subject, command, by);
    } catch (error) {
      // What was possible then need not be so now: a time has passed, a block has run out.
      if (!(error instanceof StopgapError)) throw error;
    }
  }
}

function spanOf({ until }: ProposalApproved): { span?: Span } {
  return until === undefined ? {} : { span: { until } };
}
