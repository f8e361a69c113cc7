import { z } from 'zod';
import type { ActiveBlock } from '../../projections/active-blocks.js';
import type { LedgerEntry } from '../../projections/block-ledger.js';
import { InvalidInput } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import { HOUR, MINUTE, SECOND, formatDuration, formatInstant } from '../kernel/time.js';
import { nameOf } from '../rules/explain.js';
import { clientNetwork, domainOf } from '../sending/identity.js';
import type { SenderIdentity, Subject } from '../sending/subjects.js';
import { parseSubject, senderIdentity } from '../sending/subjects.js';
import { BAD_CREDENTIALS, LOGIN_LATER, refusalReply, replyLine } from '../smtp/replies.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { instantInput, oneOf, once } from './inputs.js';
import type { BlockJson } from './shapes.js';
import { blockShape, coverShape, windowShape } from './shapes.js';
import { blockView, subjectView, windowView } from './views.js';

const identity = once.max(320).optional();
const checkQuery = z.strictObject({
  account: identity,
  returnPath: identity.meta({ description: 'The MAIL FROM address; empty is the null sender.' }),
  ehlo: identity,
  ip: identity,
  direction: oneOf(['outbound', 'inbound']).default('outbound'),
  at: instantInput.optional().meta({ description: 'A past instant; now unless given.' }),
});
type CheckQuery = z.infer<typeof checkQuery>;

const stage = z
  .object({
    outcome: z.enum(['refused', 'passes', 'not asked']),
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
    account: z.string().nullable(),
    returnPath: z.string().nullable(),
    ehlo: z.string().nullable(),
    ip: z.string().nullable(),
    direction: z.enum(['outbound', 'inbound']),
  }),
  sentence: z.string(),
  block: blockShape
    .nullable()
    .meta({ description: 'The one that refuses: of several, the one that ends last.' }),
  auth: stage,
  rcpt: stage,
  matching: z.array(blockShape).meta({ description: 'Every block in force that covers this sender.' }),
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
      query: checkQuery,
      responses: { 200: { description: 'The verdict, explained', schema: checkShape } },
      handle: ({ query }) => ok(explainCheck(deps, query)),
    }),
  ];
}

function explainCheck(deps: ApiDependencies, query: CheckQuery): CheckJson {
  const { models, clock } = deps;
  const now = clock.now();
  const { at = now } = query;
  if (at > now) throw new InvalidInput('at', `must not lie in the future (it is ${formatInstant(now)})`);
  const isPast = at < now;
  const sender = senderOf(query);
  const login = loginOf(sender);
  const refusing = (who: SenderIdentity): Refusing | undefined =>
    isPast
      ? ofEntry(models.ledger.inForce(who, at)[0], at)
      : ofActive(deps, models.activeBlocks.verdict(who, at), at);

  const atAuth = login === undefined ? undefined : refusing(login);
  const atRcpt = refusing(sender);
  const authReply =
    atAuth === undefined || atAuth.block.refusal === 'honest'
      ? null
      : replyLine(atAuth.block.refusal === 'soft' ? BAD_CREDENTIALS : LOGIN_LATER);
  const deciding = authReply === null ? atRcpt : atAuth;
  const matching = new Map<string, BlockJson>();
  for (const who of [login, sender]) {
    if (who === undefined) continue;
    for (const entry of models.ledger.inForce(who, at)) matching.set(entry.id, blockView(entry, now));
  }
  for (const found of [atAuth, atRcpt]) if (found !== undefined) matching.set(found.block.id, found.block);
  const subjects = subjectsOf(sender);
  return {
    refused: deciding !== undefined,
    at: formatInstant(at),
    sender: {
      account: sender.account ?? null,
      returnPath: sender.address ?? null,
      ehlo: sender.ehlo ?? null,
      ip: sender.ip ?? null,
      direction: sender.direction,
    },
    sentence: sentence(deciding, at, isPast),
    block: deciding?.block ?? null,
    auth: {
      outcome: login === undefined ? 'not asked' : authReply === null ? 'passes' : 'refused',
      block: authReply === null ? null : atAuth!.block.id,
      reply: authReply,
    },
    rcpt: {
      outcome: atRcpt === undefined ? 'passes' : 'refused',
      block: atRcpt?.block.id ?? null,
      reply: atRcpt === undefined ? null : replyLine(refusalReply(atRcpt.block.refusal, deps.contact)),
    },
    matching: [...matching.values()],
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
      parseSubject(type, value);
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

/** Who the sender is at AUTH, where address and domain subjects match the login's own address. */
function loginOf({ account, ehlo, ip, direction }: SenderIdentity): SenderIdentity | undefined {
  if (account === undefined || direction === 'inbound') return undefined;
  return senderIdentity({ account, returnPath: account, ehlo, ip, direction });
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

interface Refusing {
  readonly block: BlockJson;
  readonly subject: Subject;
}

function ofEntry(entry: LedgerEntry | undefined, at: Instant): Refusing | undefined {
  return entry === undefined ? undefined : { block: blockView(entry, at), subject: entry.subject };
}

/** A block decided on just now is in force before the ledger has it. */
function ofActive(
  { models }: ApiDependencies,
  active: ActiveBlock | undefined,
  now: Instant,
): Refusing | undefined {
  if (active === undefined) return undefined;
  const entry = models.ledger.get(active.id);
  if (entry !== undefined) return ofEntry(entry, now);
  const { id, direction, until, refusal, byRule } = active;
  const fresh: LedgerEntry = {
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
    since: now,
    until,
    endedAt: undefined,
    falsePositive: false,
    evidence: undefined,
    follows: undefined,
    history: [],
    version: 0,
  };
  return ofEntry(fresh, now);
}

function sentence(refusing: Refusing | undefined, at: Instant, isPast: boolean): string {
  const verb = isPast ? 'was' : 'is';
  if (refusing === undefined) {
    return `This sender ${verb} not refused: no block ${isPast ? `in force at ${formatInstant(at)}` : 'in force'} covers it.`;
  }
  const { block, subject } = refusing;
  const ends = block.until === null ? 'until it is released' : until(block.until, at);
  const whose = block.origin === 'rule' ? `by rule "${block.rule ?? '?'}"` : 'by an administrator';
  const given = block.description === '' ? '' : `The reason given: ${block.description}`;
  const why = block.evidence?.sentence ?? given;
  return `This sender ${verb} refused: ${lowerFirst(nameOf(subject))} ${verb} blocked ${whose} ${ends}. ${why}`.trim();
}

function until(end: string, at: Instant): string {
  const left = Date.parse(end) - at;
  // Nobody plans by the second what lasts for hours.
  const unit = left > HOUR ? MINUTE : SECOND;
  const rounded = Math.max(1, Math.round(left / unit)) * unit;
  return left > 0 ? `until ${end} (for another ${formatDuration(rounded)})` : `until ${end}`;
}

function lowerFirst(text: string): string {
  return /^(EHLO|IP)/.test(text) ? text : text.charAt(0).toLowerCase() + text.slice(1);
}
