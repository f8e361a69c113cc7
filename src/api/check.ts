import { z } from 'zod';
import type { ActiveBlock } from '../../projections/blocks/active-blocks.js';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import { isOver } from '../blocks/state.js';
import { InvalidInput } from '../kernel/errors.js';
import { LONGEST_NAME } from '../kernel/printable.js';
import type { Instant } from '../kernel/time.js';
import { formatInstant } from '../kernel/time.js';
import { clientNetwork, domainOf } from '../sending/identity.js';
import type { SenderIdentity, Subject } from '../sending/subjects.js';
import { askedSubject, senderIdentity, subjectKey } from '../sending/subjects.js';
import { BAD_CREDENTIALS, replyLine } from '../smtp/replies.js';
import type { BlockJson } from './block-view.js';
import {
  amongOthers,
  blockShape,
  blockView,
  blockViewAt,
  entriesInForce,
  entriesWaiting,
} from './block-view.js';
import { ACCOUNT_STATES } from './dependencies.js';
import type { RefusalJson, Refusing } from './check-findings.js';
import {
  beginningOf,
  behindSentence,
  behindShape,
  cameAs,
  failedLoginsShape,
  failedSentence,
  failedView,
  failuresKnownSince,
  heldBack,
  MAIL_REFUSED,
  notItsAddress,
  namelessAt,
  otherWaySentence,
  recordedOf,
  refusalSentence,
  refusalShape,
  troubleOf,
} from './check-findings.js';
import type { Names } from './login-names.js';
import { nameSentences, namesOf } from './login-names.js';
import type { Met } from './check-told.js';
import {
  ARRIVES_ELSEWHERE,
  arrivesElsewhere,
  askedByNobody,
  authReplyTo,
  ownSettingsOf,
  standingOf,
  toldOf,
  whereAsked,
} from './check-told.js';
import { outages, troublesAround } from './check-troubles.js';
import type { ApiDependencies } from './dependencies.js';
import type { Concerns, Route } from './http/route.js';
import { ok, ownSubject, route, seesAll } from './http/route.js';
import { isOfMachine, pastSentences, unaskedSentence } from './past-block.js';
import { instantInput, once, oneOf, subjectView } from './shapes.js';
import { ABOUT, explainSaid, saidShape } from './check-said.js';
import { windowShape, windowView } from './senders.js';
import { coverShape } from './exemptions.js';
import { heldFor, heldForShape } from './held.js';
import { unansweredSentences, unstoppedOf } from './unstopped.js';

const LATEST_REFUSALS = 5;

const identity = once.max(LONGEST_NAME).optional();
const checkQuery = z.strictObject({
  account: identity,
  returnPath: identity.meta({ description: 'The MAIL FROM address; empty is the null sender.' }),
  ehlo: identity,
  ip: identity,
  direction: oneOf(['outbound', 'inbound']).default('outbound'),
  at: instantInput.optional().meta({ description: 'A past instant; now unless given.' }),
  said: once
    .max(4000, 'must be at most 4,000 characters')
    .refine((text) => text.trim() !== '', 'must not be empty')
    .optional()
    .meta({ description: 'What the mail program of the account showed, such as "535 5.7.8 failed".' }),
});
type CheckQuery = z.infer<typeof checkQuery>;

const stage = z
  .object({
    outcome: z.enum(['refused', 'held', 'passes', 'not asked']).meta({
      description: 'held: a mail server that asks takes the mail and keeps it.',
    }),
    block: z.string().nullable(),
    reply: z
      .string()
      .nullable()
      .meta({ description: 'What the client is told; null where we do not refuse.' }),
  })
  .meta({ id: 'Stage' });

const checkShape = z.object({
  refused: z.boolean(),
  at: z.string(),
  sender: z.object({
    account: z.string().nullable().meta({
      description:
        'What its logins count for, as far as this process knows: a back end may give the account another name.',
    }),
    returnPath: z.string().nullable(),
    ehlo: z.string().nullable(),
    ip: z.string().nullable(),
    direction: z.enum(['outbound', 'inbound']),
  }),
  accountState: z.enum(ACCOUNT_STATES).nullable().meta({
    description:
      'Null where no account is named, of a past instant, and where this process has no users file: the sentence says so.',
  }),
  failedLogins: failedLoginsShape,
  behind: behindShape,
  sentence: z.string(),
  block: blockShape
    .nullable()
    .meta({ description: 'The one that refuses: of several, the one that ends last.' }),
  auth: stage,
  mail: stage.meta({
    description:
      'Whether smtp.senders lets the account use the return path: asked where both are named, in a process with the role smtp.',
  }),
  rcpt: stage,
  said: saidShape,
  held: heldForShape,
  refusals: z
    .array(refusalShape)
    .nullable()
    .meta({
      description: `The last refusals of this account, newest first, at most ${LATEST_REFUSALS}; null where no account is named, or the store cannot be read now.`,
    }),
  matching: z.array(blockShape).meta({ description: 'Every block in force that covers this sender.' }),
  proposals: z.array(blockShape).nullable().meta({
    description: 'Every proposal that waits for a decision and covers this sender; null for a past instant.',
  }),
  exemptions: z
    .array(coverShape)
    .nullable()
    .meta({ description: 'What keeps rules from acting; null for a past instant.' }),
  windows: z
    .array(windowShape)
    .nullable()
    .meta({ description: 'Null for a past instant: only the present ones are kept.' }),
});

export type CheckJson = z.infer<typeof checkShape>;

/** Would this sender be refused, and why? */
export function checkRoutes(deps: ApiDependencies): readonly Route[] {
  return [
    route<CheckQuery>({
      method: 'get',
      path: '/api/v1/check',
      summary: 'Whether a sender would be refused now, or would have been at a past instant, and why',
      role: 'viewer',
      scope: 'own',
      query: checkQuery,
      responses: { 200: { description: 'The verdict, explained', schema: checkShape } },
      handle: async ({ query, concerns }) => ok(await explainCheck(deps, query, concerns)),
    }),
  ];
}

async function explainCheck(
  deps: ApiDependencies,
  query: CheckQuery,
  concerns: Concerns,
): Promise<CheckJson> {
  const { models, clock } = deps;
  const now = clock.now();
  const { at = now } = query;
  if (at > now) throw new InvalidInput('at', `must not lie in the future (it is ${formatInstant(now)})`);
  const isPast = at < now;
  const named = senderOf(query);
  const names = namesOf(deps, named, concerns);
  refuseForeign(names.sender, concerns);
  const asked: Asked = { at, isPast, concerns, names };
  const { sender } = names;
  const recorded = await recordedOf(deps, sender, at);
  const { refusals, behind = null } = recorded ?? {};
  if (query.said !== undefined && sender.account === undefined)
    throw new InvalidInput('said', 'needs the account whose mail program said it');
  const { verdict, from } = await judgedAs(deps, sender, refusals ?? [], asked);
  const { logins, atAuth, atRcpt, authReply, deciding } = verdict;
  const { state, hasNoLogin, unsure, failed, mail } = troubleOf(deps, names, at, isPast);
  const isMailRefused = hasNoLogin === undefined && authReply === null && mail === 'refused';
  const past = { sender, refusals: refusals ?? [] };
  const said =
    query.said === undefined
      ? null
      : explainSaid(query.said, {
          at,
          failed,
          hasNoLogin,
          behindCodes: [],
          refusals: undefined,
          failedSince: failuresKnownSince(deps, now),
          ...(isPast ? await recordedOf(deps, sender, Math.min(now, at + ABOUT)) : recorded),
          atAddress: await namelessAt(deps, sender, Math.min(now, at + ABOUT)),
          standing: standingOf(deps, verdict, past, from?.at),
          troubles: troublesAround(deps, sender.direction, at, { isPast, about: ABOUT }),
          returnPath: query.returnPath === undefined ? null : mail,
          isSaidElsewhere: deps.putOffs === undefined && deps.isAsked !== true,
          own: ownSettingsOf(deps),
          hasBlock: (id) => models.ledger.has(id),
          isOver(id) {
            const entry = models.ledger.get(id);
            return entry === undefined || isOver(entry.endedAt ?? entry.until ?? null, at);
          },
          blockOn(id) {
            if (!models.ledger.has(id)) return undefined;
            const subject = models.ledger.get(id)?.subject;
            // Of those that ended long ago only the id is known: that is for those who may see all.
            if (subject === undefined) return seesAll(concerns) ? 'it ended long ago' : undefined;
            return concerns(subject) ? `${subject.type} ${subject.value}` : undefined;
          },
        });
  const begins = isPast && deciding === undefined ? await beginningOf(deps) : undefined;
  const isBeforeAll = begins !== undefined && at < begins.at;
  const matching = new Map<string, BlockJson>();
  const proposals = new Map<string, BlockJson>();
  for (const who of [...logins, verdict.sender]) {
    for (const entry of await entriesInForce(deps, who, at))
      if (concerns(entry.subject))
        matching.set(entry.id, isPast ? blockViewAt(entry, at, concerns) : blockView(entry, now, concerns));
    if (isPast) continue;
    for (const entry of await entriesWaiting(deps, who, now))
      if (concerns(entry.subject)) proposals.set(entry.id, blockView(entry, now, concerns));
  }
  for (const found of [atAuth, atRcpt])
    if (found !== undefined && concerns(found.subject)) matching.set(found.block.id, found.block);
  const otherWay = deciding === undefined ? await otherWayOf(deps, sender, asked) : undefined;
  const subjects = subjectsOf(sender).filter(concerns);
  const { held, sentences: heldSentences } =
    isPast || sender.account === undefined || refusals === undefined
      ? NOTHING_HELD
      : await heldFor(deps, sender.account, refusals, concerns);
  const idOf = (found: Refusing | undefined): string | null =>
    found !== undefined && concerns(found.subject) ? found.block.id : null;
  const isHidden = [deciding, otherWay].some((found) => found !== undefined && !concerns(found.subject));
  const atMail = atRcpt === undefined ? undefined : toldOf(deps, atRcpt, past);
  const isLocal = isOfMachine(deps, sender);
  // Postfix hands in its mail by itself, and so asks nobody: an Exim that asks about its local users has been refused.
  const isUnasked = deciding !== undefined && isLocal && past.refusals.length === 0;
  const isElsewhere = !isPast && arrivesElsewhere(deps, sender);
  return {
    refused: hasNoLogin !== undefined || isMailRefused || deciding !== undefined,
    at: formatInstant(at),
    sender: {
      account: sender.account ?? null,
      returnPath: sender.address ?? null,
      ehlo: sender.ehlo ?? null,
      ip: sender.ip ?? null,
      direction: sender.direction,
    },
    accountState: state ?? null,
    failedLogins: failedView(failed),
    behind,
    sentence: isHidden
      ? [...(said === null ? [] : [said.sentence]), ...nameSentences(names), NOT_THEIRS].join(' ')
      : [
          ...(said === null ? [] : [said.sentence]),
          ...nameSentences(names),
          ...(hasNoLogin === undefined || said?.sentence.includes(hasNoLogin) === true ? [] : [hasNoLogin]),
          ...(isMailRefused ? [notItsAddress(verdict.sender)] : []),
          ...((hasNoLogin !== undefined || isMailRefused) && deciding === undefined
            ? []
            : otherWay !== undefined
              ? [otherWaySentence(sender.direction, otherWay, at, isPast)]
              : [refusalSentence(deciding, at, isPast, begins)]),
          ...(deciding === undefined || isUnasked ? [] : whereAsked(deps, deciding, past)),
          ...(deciding === undefined || isPast
            ? []
            : isUnasked
              ? [unaskedSentence(deps)]
              : askedByNobody(deps, authReply)),
          ...(isElsewhere ? [ARRIVES_ELSEWHERE] : []),
          ...(deciding === undefined || isPast ? [] : pastSentences(deps, deciding, concerns)),
          ...((deciding ?? otherWay) === undefined && !isBeforeAll && said?.cause !== 'trouble'
            ? unsure
            : []),
          ...(from === undefined ? [] : cameAs(from)),
          ...(failed === undefined ? [] : [failedSentence(failed)]),
          ...(behind === null ? [] : [behindSentence(behind)]),
          ...heldSentences,
          ...(isPast
            ? []
            : [
                ...heldBack(deps),
                ...unansweredSentences(unstoppedOf(deps, isOneOf(subjects))),
                ...outages(deps, sender.direction),
              ]),
        ].join(' '),
    block: deciding !== undefined && concerns(deciding.subject) ? deciding.block : null,
    auth: isLocal
      ? NOT_ASKED
      : hasNoLogin !== undefined
        ? { outcome: 'refused', block: null, reply: replyLine(BAD_CREDENTIALS) }
        : {
            outcome:
              authReply !== null && logins.length > 0 && !isBeforeAll
                ? 'refused'
                : logins.length === 0 || isBeforeAll || state === 'unknown'
                  ? 'not asked'
                  : 'passes',
            block: authReply === null ? null : idOf(atAuth),
            reply: authReply,
          },
    mail: isMailRefused
      ? { outcome: 'refused', block: null, reply: MAIL_REFUSED }
      : { ...NOT_ASKED, outcome: mail === 'passes' && authReply === null ? 'passes' : 'not asked' },
    rcpt:
      hasNoLogin !== undefined ||
      isMailRefused ||
      isBeforeAll ||
      isUnasked ||
      (isElsewhere && atMail === undefined)
        ? NOT_ASKED
        : {
            outcome: atMail === undefined ? 'passes' : atMail.reply === null ? 'held' : 'refused',
            block: idOf(atRcpt),
            reply: atMail?.reply ?? null,
          },
    said,
    held,
    refusals: refusals?.slice(0, LATEST_REFUSALS) ?? null,
    matching: [...matching.values()].map(amongOthers),
    proposals: isPast ? null : [...proposals.values()],
    exemptions: isPast
      ? null
      : subjects.flatMap((subject) => {
          const cover = models.exemptions.covering(subject, now);
          return cover === undefined ? [] : [{ ...cover, subject }];
        }),
    windows: isPast
      ? null
      : subjects.flatMap((subject) =>
          models.sendVolume.readings(subject, now).map((reading) => windowView(subject, reading)),
        ),
  };
}

const NOT_THEIRS =
  'Mail of this sender is refused by a block that is of none of your domains: ask those who run the mail server.';

/** @throws StopgapError `not-found` if the sender is of none of the caller's domains; InvalidInput if its names do not say */
function refuseForeign({ account, address }: SenderIdentity, concerns: Concerns): void {
  const names: readonly [Subject['type'], string | undefined][] = [
    ['account', account],
    ['address', address === '' ? undefined : address],
  ];
  const named = names.flatMap(([type, value]) => (value === undefined ? [] : [{ type, value }]));
  if (named.length === 0 && !seesAll(concerns))
    throw new InvalidInput(
      'account',
      'must be named, or returnPath: an IP address and an EHLO name are of no domain',
    );
  for (const subject of named) ownSubject(subject, concerns);
}

function isOneOf(subjects: readonly Subject[]): Concerns {
  const keys = new Set(subjects.map(subjectKey));
  return (subject) => keys.has(subjectKey(subject));
}

const NOTHING_HELD = { held: null, sentences: [] } as const;
const NOT_ASKED = { outcome: 'not asked', block: null, reply: null } as const;

/** The sender, and what it meets at AUTH and at RCPT TO. */
interface Verdict extends Met {
  readonly sender: SenderIdentity;
  /** As AUTH sees it, by each name of its logins. */
  readonly logins: readonly SenderIdentity[];
  readonly atAuth: Refusing | undefined;
}

/** At which instant, and by whom. */
interface Asked {
  readonly at: Instant;
  readonly isPast: boolean;
  readonly concerns: Concerns;
  readonly names: Pick<Names, 'login' | 'account'>;
}

async function judge(deps: ApiDependencies, from: SenderIdentity, asked: Asked): Promise<Verdict> {
  const { models } = deps;
  const { at, isPast, names } = asked;
  const sender = { ...from, account: names.account };
  const refusing = async (who: SenderIdentity): Promise<Refusing | undefined> =>
    isPast
      ? ofPast((await entriesInForce(deps, who, at))[0], asked)
      : ofActive(deps, models.activeBlocks.find(who, at), asked);
  const logins = [...new Set([names.login, names.account])].flatMap((name) => loginOf(sender, name));
  const found = await Promise.all(logins.map(refusing));
  const atAuth =
    found.find((one) => one !== undefined && authReplyTo(deps, one) !== null) ??
    found.find((one) => one !== undefined);
  // Nearly every account sends from its own address. One that is blocked honestly lets it log in.
  const atRcpt =
    (await refusing(sender.address === undefined ? (logins.at(-1) ?? sender) : sender)) ??
    (names.login === names.account ? undefined : await refusing({ ...sender, account: names.login }));
  const authReply = atAuth === undefined ? null : authReplyTo(deps, atAuth);
  const deciding = authReply === null ? atRcpt : atAuth;
  return { sender, logins, atAuth, atRcpt, authReply, deciding };
}

/** What refuses the same sender in the direction that was not asked about. A login only submits. */
async function otherWayOf(
  deps: ApiDependencies,
  sender: SenderIdentity,
  asked: Asked,
): Promise<Refusing | undefined> {
  if (sender.account !== undefined) return undefined;
  const direction = sender.direction === 'outbound' ? 'inbound' : 'outbound';
  return (await judge(deps, { ...sender, direction }, asked)).deciding;
}

/**
 * The verdict on the sender as the query names it. If that passes, the verdict on one of its last refusals that would
 * be refused again: an account is also refused for the network or EHLO name that it comes from.
 */
async function judgedAs(
  deps: ApiDependencies,
  named: SenderIdentity,
  refusals: readonly RefusalJson[],
  asked: Asked,
): Promise<{ readonly verdict: Verdict; readonly from?: RefusalJson }> {
  const own = await judge(deps, named, asked);
  if (own.deciding !== undefined) return { verdict: own };
  for (const from of refusals) {
    const { returnPath, ehlo, ip } = from;
    const raw = { returnPath: returnPath ?? undefined, ehlo: ehlo ?? undefined, ip: ip ?? undefined };
    const seen = senderIdentity({ ...raw, account: named.account, direction: named.direction });
    const isOther = (['address', 'ehlo', 'ip'] as const).some(
      (part) => named[part] !== undefined && seen[part] !== undefined && named[part] !== seen[part],
    );
    if (isOther) continue;
    const verdict = await judge(deps, seen, asked);
    if (verdict.deciding !== undefined) return { verdict, from };
  }
  return { verdict: own };
}

function senderOf({ account, returnPath, ehlo, ip, direction }: CheckQuery): SenderIdentity {
  if ([account, returnPath, ehlo, ip].every((part) => part === undefined)) {
    throw new InvalidInput(
      'account',
      'nobody is named: give at least one of account, returnPath, ehlo and ip',
    );
  }
  const valid = (type: Subject['type'], value: string | undefined, field: string): void => {
    if (value === undefined) return;
    try {
      askedSubject(type, value);
    } catch (thrown) {
      throw thrown instanceof InvalidInput ? new InvalidInput(field, thrown.message) : thrown;
    }
  };
  valid('account', account, 'account');
  valid('ehlo', ehlo, 'ehlo');
  valid('ip', ip, 'ip');
  if (ip?.includes('/') === true)
    throw new InvalidInput('ip', 'must be one address: a network sends no mail');
  // The null sender is a return path too (RFC 5321, 4.5.5).
  if (returnPath !== '' && returnPath !== '<>') valid('address', returnPath, 'returnPath');
  return senderIdentity({ account, returnPath: returnPath === '<>' ? '' : returnPath, ehlo, ip, direction });
}

/** The sender as AUTH sees it: address and domain subjects match the login's own address. */
function loginOf(
  { ehlo, ip, direction }: SenderIdentity,
  name: string | undefined,
): readonly SenderIdentity[] {
  if (name === undefined || direction === 'inbound') return [];
  return [senderIdentity({ account: name, returnPath: name, ehlo, ip, direction })];
}

/** The subjects that this sender's mail counts for. */
function subjectsOf({ account, address, ehlo, ip }: SenderIdentity): readonly Subject[] {
  const domain = domainOf(account ?? '') ?? domainOf(address ?? '');
  const subjects: readonly [Subject['type'], string | undefined][] = [
    ['account', account],
    ['address', address],
    ['domain', domain],
    ['ehlo', ehlo],
    ['ip', ip === undefined ? undefined : clientNetwork(ip)],
  ];
  return subjects.flatMap(([type, value]) => (value === undefined || value === '' ? [] : [{ type, value }]));
}

function ofEntry(entry: BlockEntry, { at, concerns }: Asked): Refusing {
  return { block: blockView(entry, at, concerns), subject: entry.subject };
}

function ofPast(entry: BlockEntry | undefined, { at, concerns }: Asked): Refusing | undefined {
  return entry === undefined
    ? undefined
    : { block: blockViewAt(entry, at, concerns), subject: entry.subject };
}

/** A new block is in force before the ledger has it. */
function ofActive(
  { models }: ApiDependencies,
  active: ActiveBlock | undefined,
  asked: Asked,
): Refusing | undefined {
  if (active === undefined) return undefined;
  const entry = models.ledger.get(active.id);
  if (entry !== undefined) return ofEntry(entry, asked);
  const { id, direction, until, refusal, byRule } = active;
  const fresh: BlockEntry = {
    id,
    subject: subjectView(active),
    state: 'active',
    direction,
    description: 'in force, being recorded',
    refusal,
    origin: byRule ? 'rule' : 'admin',
    rule: undefined,
    proposedAt: undefined,
    lapsesAt: undefined,
    duration: undefined,
    since: asked.at,
    until,
    endedAt: undefined,
    falsePositive: false,
    evidence: undefined,
    follows: undefined,
    history: [],
    version: 0,
  };
  return ofEntry(fresh, asked);
}
