import { GRACE_FACTOR } from '../../src/blocks/state.js';
import type { Instant } from '../../src/kernel/time.js';
import { newcomersSentence } from '../../src/rules/explain.js';
import type { Rule } from '../../src/rules/model.js';
import { countsNewcomers, FLEET_DOMAINS, FLEET_FACTOR, LEARNING } from '../../src/rules/model.js';
import type { Verdict } from '../../src/rules/respond.js';
import { dayOf } from '../../src/sending/day-summary.js';
import type { SenderFields } from '../../src/sending/events.js';
import { clientNetwork, domainOf, normalizeEhlo } from '../../src/sending/identity.js';
import type { Subject } from '../../src/sending/subjects.js';
import type { SenderProfiles } from '../baselines/sender-profiles.js';
import { commonName, isNewPlace } from './conditions.js';
import type { VolumeContext } from './limits.js';
import { isKnownOf, isLearnt } from './limits.js';
import type { Outbreaks, OutbreaksState } from './outbreak.js';
import type { WindowReading } from './rule-evaluation.js';
import type { FeedbackContext } from './subject-volumes.js';

/** An account that sent from a place which is new to it. */
export interface Newcomer {
  readonly account: string;
  readonly at: Instant;
  readonly position: number;
  /** The position of its first message there, of those that are not further apart than the window. */
  readonly first: number;
}

export type Newcomers = Outbreaks<Newcomer>;
export type NewcomersState = OutbreaksState<Newcomer>;

type Context = FeedbackContext & Pick<VolumeContext, 'profiles' | 'positionAt'>;

/**
 * Whether a message comes from a network and under an EHLO name that are both new to the account. People are somewhere
 * new on one day in seven, but most keep the name of their machine. To an account that is being learnt everything is
 * new, and on a young installation that is nearly every account.
 */
export function isNewcomer(
  account: string,
  sender: SenderFields,
  at: Instant,
  { rules, profiles }: Context,
): boolean {
  const learning = rules.learning ?? LEARNING;
  const day = dayOf(at);
  const profile = profiles.profile('account', account, day);
  if (!isNewPlace(sender, { profile, day, pending: [] })) return false;
  const isTelling = isLearnt(profile, day, learning)
    ? isKnownOf(profile, 'networks', day, learning) && isKnownOf(profile, 'ehlos', day, learning)
    : at - profiles.installedAt >= learning.installation;
  if (!isTelling) return false;
  const pending = profiles.open('account', account).filter((each) => each.day < day);
  return isNewPlace(sender, { profile, day, pending });
}

/**
 * A newcomer has sent a message: checks for every rule whether too many came to the same place.
 *
 * @returns a verdict for each place to act upon
 */
export function newcomerVerdicts(
  newcomers: Newcomers,
  newcomer: Omit<Newcomer, 'first'>,
  sender: SenderFields,
  context: Context,
): readonly Verdict[] {
  return context.rules.rules.flatMap((rule) => {
    const place = countsNewcomers(rule) ? placeOf(rule, sender) : undefined;
    if (place === undefined) return [];
    return verdictOn(newcomers, rule, place, newcomer, context) ?? [];
  });
}

function verdictOn(
  newcomers: Newcomers,
  rule: Rule,
  subject: Subject,
  newcomer: Omit<Newcomer, 'first'>,
  { rules, volumes, profiles, positionAt }: Context,
): Verdict | undefined {
  const { account, at, position } = newcomer;
  const { type, value } = subject;
  const { id, count, window, limit: untripled } = rule;
  if (exceptionOf(subject, at, { volumes, profiles }) !== undefined) return undefined;
  const grace = volumes[type].graceOf(value, at);
  const limit = untripled * (grace === undefined ? 1 : GRACE_FACTOR);
  const key = keyOf(rule, value);
  const before = newcomers.last(key, account);
  const first = before !== undefined && before.at > at - window ? before.first : position;
  const found = newcomers.note(key, { ...newcomer, first }, { window, limit, alarm: 0 }, (accounts) => {
    if (domainsOf(accounts.keys()).size < FLEET_DOMAINS) return false;
    return type !== 'ip' || !areExpected(profiles, value, accounts.size, at);
  });
  if (found === undefined) return undefined;
  const accounts = found.accounts.map(({ account }) => account);
  const seen = { observed: found.count, domains: domainsOf(accounts).size, limit, untripled, grace };
  const evidence = {
    rule: id,
    version: rules.version,
    count,
    window,
    limit,
    observed: found.count,
    firstPosition: Math.max(Math.min(...found.accounts.map((each) => each.first)), positionAt(at - window)),
    lastPosition: position,
    lastAt: at,
    accounts,
    sentence: newcomersSentence(rule, subject, seen),
  };
  return { kind: 'act', rule, mode: rules.mode, subject, evidence, at };
}

/** How many newcomers a place has, by every rule that counts them. */
export function newcomerReadings(
  newcomers: Newcomers,
  { type, value }: Subject,
  now: Instant,
  { rules, volumes, profiles }: Context,
): readonly WindowReading[] {
  return rules.rules.flatMap((rule) => {
    if (!countsNewcomers(rule) || rule.per !== type) return [];
    const { id, count, window, direction } = rule;
    const accounts = newcomers.within(keyOf(rule, value), window, now).map(({ account }) => account);
    const limit = rule.limit * (volumes[type].graceOf(value, now) === undefined ? 1 : GRACE_FACTOR);
    const notNow = exceptionOf({ type, value }, now, { volumes, profiles });
    const besides = [`they are of at least ${FLEET_DOMAINS} domains (${domainsOf(accounts).size} now)`];
    if (type === 'ip') {
      const areFew = accounts.length > 0 && areExpected(profiles, value, accounts.length, now);
      const factor = `more than ${FLEET_FACTOR} times the accounts that know the place`;
      besides.push(`they are ${factor}${areFew ? ' (they are not now)' : ''}`);
    }
    const open = notNow === undefined ? { besides } : { besides: [], notNow };
    return [{ rule: id, count, window, observed: accounts.length, limit, direction, ...open }];
  });
}

/** A person has judged a place: who came there before counts no more. */
export function forgetNewcomers(
  newcomers: Newcomers,
  { type, value }: Subject,
  { rules }: FeedbackContext,
): void {
  for (const rule of rules.rules)
    if (countsNewcomers(rule) && rule.per === type) newcomers.drop(keyOf(rule, value));
}

/**
 * Why nobody is a newcomer to a place now, in words. Those who came on the day of a false positive know the place from
 * the next day on; without this the block would come back each hour until then.
 */
function exceptionOf(
  place: Subject,
  now: Instant,
  { volumes, profiles }: Pick<Context, 'volumes' | 'profiles'>,
): string | undefined {
  if (volumes[place.type].isWelcoming(place.value, now))
    return 'a block for newcomers to this place was a false positive today (UTC): nobody is one there until tomorrow';
  return commonName(place, profiles);
}

function placeOf({ per }: Rule, { ip, ehlo }: SenderFields): Subject | undefined {
  if (per === 'ip') return ip === undefined ? undefined : { type: 'ip', value: clientNetwork(ip) };
  return ehlo === undefined ? undefined : { type: 'ehlo', value: normalizeEhlo(ehlo) };
}

/** Whether so many newcomers are too few, because of the accounts that know the place. */
function areExpected(profiles: SenderProfiles, network: string, newcomers: number, at: Instant): boolean {
  return profiles.isKnownTo(network, Math.ceil(newcomers / FLEET_FACTOR), dayOf(at));
}

function domainsOf(accounts: Iterable<string>): ReadonlySet<string> {
  return new Set(Array.from(accounts, (account) => domainOf(account) ?? ''));
}

function keyOf({ id }: Rule, place: string): string {
  return `${id} ${place}`;
}
