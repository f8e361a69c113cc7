import type { BlockEvent, Until } from '../../src/blocks/events.js';
import { isLater, isOver } from '../../src/blocks/state.js';
import type { Instant } from '../../src/kernel/time.js';
import type { RuleExemption, VersionedRules } from '../../src/rules/model.js';
import { NEVER_BLOCK, neverBlock } from '../../src/rules/model.js';
import { clientNetwork, widerNetworks } from '../../src/sending/identity.js';
import type { SenderIdentity, Subject } from '../../src/sending/subjects.js';
import { subjectKey } from '../../src/sending/subjects.js';
import { SubjectIndex } from './subject-index.js';

export interface Exemption {
  readonly id: string;
  readonly subject: Subject;
  readonly until: Until;
  readonly reason: string;
  readonly origin: 'rules' | 'admin';
  /** Who granted it, and when; the rules file has neither. */
  readonly by?: string;
  readonly at?: Instant;
  /** How often it kept a rule from acting, and when last. */
  readonly saved: number;
  readonly savedAt?: Instant;
}

export interface ExemptionsState {
  readonly all: readonly Exemption[];
  /** The ids of the exemptions from the rules. */
  readonly ruleIds: readonly string[];
  /** The subjects of all that were ever granted, by id. */
  readonly subjects: readonly (readonly [id: string, subject: Subject])[];
}

/** The subjects that rules must not act on. */
export class Exemptions {
  readonly #byId = new Map<string, Exemption>();
  #granted = new SubjectIndex<string>();
  #fromRules = new SubjectIndex<string>();
  readonly #inside = new Inside();
  #ruleIds: readonly string[] = [];
  readonly #subjects = new Map<string, Subject>();

  /** What keeps rules from acting on this subject: an exemption of it, of its domain or network, or the never-block list. */
  covering(subject: Subject, now: Instant): { id: string; reason: string } | undefined {
    let found: Exemption | undefined;
    const consider = (id: string): void => {
      const exemption = this.#byId.get(id);
      if (exemption === undefined || isOver(exemption.until, now)) return;
      // If several patterns match, the order must not depend on how the index was built.
      const rivals = found !== undefined && found.subject.type === exemption.subject.type;
      if (rivals && found!.origin === exemption.origin && isBehind(exemption, found!)) return;
      found = exemption;
    };
    const sender = asSender(subject);
    this.#fromRules.forEachMatch(sender, consider);
    this.#granted.forEachMatch(sender, consider);
    if (found !== undefined) return { id: found.id, reason: found.reason };
    const within = this.#within(subject, now);
    if (within !== undefined) return within;
    const reason = neverBlock(subject);
    return reason === undefined ? undefined : { id: NEVER_BLOCK, reason };
  }

  /** A network must not be blocked if a part of it is exempted: of IPv6 the narrowest that a rule blocks is a /64. */
  #within(network: Subject, now: Instant): { id: string; reason: string } | undefined {
    for (const id of this.#inside.of(network)) {
      const { until, reason } = this.#byId.get(id)!;
      if (!isOver(until, now)) return { id, reason };
    }
    return undefined;
  }

  #put(exemption: Exemption): void {
    this.#byId.set(exemption.id, exemption);
    this.#inside.add(exemption.subject, exemption.id);
  }

  #remove(id: string): void {
    const gone = this.#byId.get(id);
    if (gone === undefined) return;
    this.#byId.delete(id);
    this.#inside.delete(gone.subject, id);
  }

  get(id: string): Exemption | undefined {
    return this.#byId.get(id);
  }

  /** The subject that an administrator exempted under this id, now or in the past. */
  subjectOf(id: string): Subject | undefined {
    return this.#subjects.get(id);
  }

  /** The opposite of {@link restore}. */
  dump(): ExemptionsState {
    return { all: [...this.#byId.values()], ruleIds: this.#ruleIds, subjects: [...this.#subjects] };
  }

  /** Takes over what {@link dump} gave, instead of all that it held. */
  restore({ all, ruleIds, subjects }: ExemptionsState): void {
    this.#byId.clear();
    this.#inside.clear();
    this.#subjects.clear();
    for (const [id, subject] of subjects) this.#subjects.set(id, subject);
    this.#granted = new SubjectIndex();
    this.#fromRules = new SubjectIndex();
    this.#ruleIds = ruleIds;
    for (const exemption of all) {
      this.#put(exemption);
      if (exemption.origin === 'admin') this.#granted.set(exemption.subject, exemption.id);
    }
    for (const id of ruleIds) {
      const exemption = this.#byId.get(id);
      if (exemption !== undefined) this.#fromRules.set(exemption.subject, id);
    }
  }

  /** Those in force, oldest first. */
  list(now: Instant): readonly Exemption[] {
    return [...this.#byId.values()].filter((exemption) => !isOver(exemption.until, now));
  }

  /** If a subject is in the rules again, its exemption keeps its counts, even if the rest of it changed. */
  useRules(rules: VersionedRules): void {
    const before = new Map(this.#ruleIds.map((id) => [id, this.#byId.get(id)]));
    for (const id of this.#ruleIds) this.#remove(id);
    this.#fromRules = new SubjectIndex();
    const exempt = new Map<string, RuleExemption>();
    for (const exemption of rules.exempt) {
      const id = `rules:${subjectKey(exemption.subject)}`;
      const twin = exempt.get(id);
      // Rules of an earlier version may name a subject twice: then the longer exemption holds.
      if (twin === undefined || isLater(exemption.until, twin.until)) exempt.set(id, exemption);
    }
    this.#ruleIds = [...exempt.keys()];
    for (const [id, { subject, until, reason }] of exempt) {
      const { saved = 0, savedAt } = before.get(id) ?? {};
      const used = savedAt === undefined ? {} : { savedAt };
      this.#put({ id, subject, until, reason, origin: 'rules', saved, ...used });
      this.#fromRules.set(subject, id);
    }
  }

  apply(event: BlockEvent): void {
    switch (event.type) {
      case 'ExemptionGranted': {
        const { exemption: id, subject, until, reason } = event.data;
        // What was revoked or replaced does not come back.
        if (this.#subjects.has(id)) return;
        this.#subjects.set(id, subject);
        const before = this.#granted.get(subject);
        if (before !== undefined) this.#remove(before);
        this.#granted.set(subject, id);
        const { by, at } = event;
        this.#put({ id, subject, until, reason, origin: 'admin', by, at, saved: 0 });
        return;
      }
      case 'ExemptionRevoked': {
        const gone = this.#byId.get(event.data.exemption);
        if (gone === undefined) return;
        this.#remove(gone.id);
        this.#granted.delete(gone.subject);
        return;
      }
      case 'ExemptionApplied': {
        const used = this.#byId.get(event.data.exemption);
        if (used !== undefined)
          this.#byId.set(used.id, { ...used, saved: used.saved + 1, savedAt: event.at });
        return;
      }
      case 'BlockProposed':
      case 'ProposalApproved':
      case 'ProposalDismissed':
      case 'ProposalLapsed':
      case 'BlockImposed':
      case 'BlockExtended':
      case 'BlockShortened':
      case 'BlockReleased':
      case 'BlockExpired':
      case 'RuleObserved':
      case 'HeldMailDecided':
      case 'HookRan':
        return;
    }
  }
}

/** A test for subjects that these exemptions cover, as in {@link Exemptions.covering}. */
export function coverageOf(exempt: readonly Subject[]): (subject: Subject) => boolean {
  const index = new SubjectIndex<true>();
  const inside = new Inside();
  for (const subject of exempt) {
    index.set(subject, true);
    inside.add(subject, subject.value);
  }
  return (subject) => {
    let isCovered = inside.of(subject).size > 0;
    index.forEachMatch(asSender(subject), () => (isCovered = true));
    return isCovered;
  };
}

const NONE: ReadonlySet<string> = new Set();

/** The ids of exempt addresses and networks by the IPv6 networks around them, in the order in which they were added. */
class Inside {
  readonly #ids = new Map<string, Set<string>>();

  add(subject: Subject, id: string): void {
    for (const network of networksAround(subject)) {
      const ids = this.#ids.get(network);
      if (ids === undefined) this.#ids.set(network, new Set([id]));
      else ids.add(id);
    }
  }

  delete(subject: Subject, id: string): void {
    for (const network of networksAround(subject)) {
      const ids = this.#ids.get(network);
      if (ids?.delete(id) === true && ids.size === 0) this.#ids.delete(network);
    }
  }

  clear(): void {
    this.#ids.clear();
  }

  /** Those in this network. */
  of({ type, value }: Subject): ReadonlySet<string> {
    return (type === 'ip' ? this.#ids.get(value) : undefined) ?? NONE;
  }
}

/** The networks that rules may block and that the first address of an exempt IPv6 network lies in: its /64, /56 and /48. */
function networksAround({ type, value }: Subject): readonly string[] {
  if (type !== 'ip' || !value.includes(':')) return [];
  const network = clientNetwork(value.split('/', 1)[0]!);
  return [network, ...widerNetworks(network)];
}

function isBehind(a: Exemption, b: Exemption): boolean {
  return a.subject.value.includes('*') && b.subject.value.includes('*') && a.id < b.id;
}

/** A subject as the sender that it would match as. */
export function asSender({ type, value }: Subject): SenderIdentity {
  return {
    account: type === 'account' ? value : type === 'domain' ? `@${value}` : undefined,
    address: type === 'address' ? value : undefined,
    ehlo: type === 'ehlo' ? value : undefined,
    ip: type === 'ip' ? value.replace(/\/\d+$/, '') : undefined,
    direction: 'outbound',
  };
}
