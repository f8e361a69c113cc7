import type { BlockCommand, Span } from '../blocks/commands.js';
import type { BlockEvent, ProposalApproved } from '../blocks/events.js';
import { isLater } from '../blocks/state.js';
import { StopgapError } from '../kernel/errors.js';
import type { Subject } from '../sending/subjects.js';
import type { BacktestWorld } from './world.js';

const ADMIN = 'admin:';

/**
 * What people did, done again under other rules, in so far as there is something there to do it to: their own blocks
 * and exemptions come into force, and what they said of a subject's block or proposal is said of the one that it has
 * now. What the rules of then brought about is left out.
 */
export class People {
  readonly #world: BacktestWorld;
  /** Of the recorded blocks and proposals that stand: whose they are. */
  readonly #subjects = new Map<string, Subject>();
  /** Of the recorded exemptions that stand: whose they are, and under which id they stand here. */
  readonly #exemptions = new Map<string, { subject: Subject; id: string }>();

  constructor(world: BacktestWorld) {
    this.#world = world;
  }

  apply(event: BlockEvent): void {
    const isPersons = event.by.startsWith(ADMIN);
    switch (event.type) {
      case 'BlockProposed':
        this.#subjects.set(event.data.block, event.data.subject);
        return;
      case 'BlockImposed': {
        const { block, subject, direction, description, refusal, until, origin } = event.data;
        this.#subjects.set(block, subject);
        if (!isPersons || origin !== 'admin') return;
        const newId = this.#world.newId();
        const there = this.#world.standing(subject).block;
        // Here a rule may have blocked for longer: then that end holds.
        const end = there !== undefined && isLater(there.until, until) ? there.until : until;
        return this.#do(
          subject,
          { kind: 'impose', subject, direction, description, refusal, until: end, newId },
          event.by,
        );
      }
      case 'ProposalApproved':
        return this.#toProposal(event, event.data.block, (block) => ({
          kind: 'approve',
          block,
          ...spanOf(event.data),
        }));
      case 'ProposalDismissed': {
        const { block: recorded, falsePositive = false } = event.data;
        const subject = this.#subjects.get(recorded);
        // One that went because its subject became exempt goes only where it is exempt here too.
        if (isPersons || (subject !== undefined && this.#world.isExempt(subject)))
          this.#toProposal(event, recorded, (block) => ({ kind: 'dismiss', block, falsePositive }));
        this.#subjects.delete(recorded);
        return;
      }
      case 'BlockExtended':
      case 'BlockShortened': {
        const { block: recorded, until } = event.data;
        if (isPersons) this.#toBlock(event, recorded, (block) => ({ kind: 'change-until', block, until }));
        return;
      }
      case 'BlockReleased': {
        const { block: recorded, falsePositive } = event.data;
        this.#toBlock(event, recorded, (block) => ({ kind: 'release', block, falsePositive }));
        this.#subjects.delete(recorded);
        return;
      }
      case 'BlockExpired':
      case 'ProposalLapsed':
        this.#subjects.delete(event.data.block);
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
        return;
    }
  }

  #toProposal(event: BlockEvent, recorded: string, command: (block: string) => BlockCommand): void {
    const subject = this.#subjects.get(recorded);
    const standing = subject && this.#world.standing(subject).proposal;
    if (standing !== undefined) this.#do(subject!, command(standing.id), event.by);
  }

  #toBlock(event: BlockEvent, recorded: string, command: (block: string) => BlockCommand): void {
    const subject = this.#subjects.get(recorded);
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
