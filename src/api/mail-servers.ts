import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import { StopgapError } from '../kernel/errors.js';
import { FloodCoalescer } from '../kernel/flood-coalescer.js';
import { fitName } from '../kernel/printable.js';
import type { Instant } from '../kernel/time.js';
import { DAY, formatInstant } from '../kernel/time.js';
import type { MailServers, Report } from '../recording/reports.js';
import type { Names } from '../recording/verdicts.js';
import { CLOCK_TOLERANCE } from '../sending/events.js';
import { normalizeIp } from '../sending/identity.js';
import { MAIL_DIRECTIONS } from '../sending/subjects.js';
import type { ApiDependencies } from './dependencies.js';
import type { FieldFault } from './http/problem.js';
import { faultsOf, invalid } from './http/problem.js';
import type { Answer, ApiRequest, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { instantInput, oneOf } from './shapes.js';

const MOST_ITEMS = 1000;
/** Bytes. */
const LARGEST = 1024 * 1024;
/** Items that are read before other work gets a turn. */
const SLICE = 100;
/** RFC 1035 section 2.3.4. */
const LONGEST_DOMAIN = 255;

const name = z
  .string('must be a text')
  .nullish()
  .transform((given) => fitName(given ?? ''));
const address = z
  .string('must be a text')
  .nullish()
  .transform((given) => (given === '<>' ? '' : typeof given === 'string' ? fitName(given) : undefined))
  .meta({ description: 'The MAIL FROM address; empty is the null sender.' });
const ip = name.refine((text) => text === '' || normalizeIp(text) !== undefined, 'must be an IP address');
const sender = {
  account: name.meta({ description: 'The login; empty or absent without one.' }),
  returnPath: address,
  ehlo: name,
  ip,
  direction: oneOf(MAIL_DIRECTIONS).optional().meta({
    description: 'outbound with an account, or from policy.ownNetworks; else inbound.',
  }),
};

const decideInput = z.strictObject({
  ...sender,
  stage: oneOf(['auth', 'rcpt', 'data']).default('rcpt').meta({
    description: 'auth: the password was right. rcpt, data: mail is sent.',
  }),
  id: name.meta({ description: 'Ties the record of a refusal to its message.' }),
  holds: z.boolean('must be true or false').default(false).meta({
    description:
      'Whether you can take this mail and hold it. If not, you are told to refuse it in place of a hold.',
  }),
});
type DecideInput = z.infer<typeof decideInput>;

const decisionShape = z
  .object({
    action: z.enum(['accept', 'refuse', 'hold']),
    code: z
      .int()
      .nullable()
      .meta({ description: 'What to tell the client; null where it is told nothing special.' }),
    text: z.string().nullable().meta({ description: 'With its enhanced status code.' }),
    block: z.string().nullable(),
  })
  .meta({ id: 'Decision' });

const shortId = z
  .string('must be a text')
  .regex(/^[^\p{Cc}\p{Cs}]{1,255}$/u, 'must be 1 to 255 characters without control characters');
const head = {
  id: shortId.meta({ description: 'Yours: the same for the same event, however often you send it.' }),
  at: instantInput.optional().meta({ description: 'When it happened: now unless given, at most a day ago.' }),
};
const queueId = shortId.optional().meta({
  description:
    'Under which the mail server has queued it. All who tell of that queue id on that day tell of one message.',
});
const wholeUpTo = (most: number, otherwise?: number) => {
  const message = `must be a whole number from ${otherwise ?? 1} to ${most}`;
  return z
    .int(message)
    .min(otherwise ?? 1, message)
    .max(most, message);
};
const domains = z
  .array(z.string('must be a text'), 'must be a list of domains')
  .max(1000, 'at most 1000 domains')
  .transform((list) => list.map(fitName).filter((one) => one !== '' && one.length <= LONGEST_DOMAIN));

const itemInput = z.discriminatedUnion(
  'type',
  [
    z.strictObject({
      type: z.literal('accepted'),
      ...head,
      queueId,
      ...sender,
      recipients: wholeUpTo(1_000_000).default(1),
      size: wholeUpTo(2 ** 40, 0)
        .default(0)
        .meta({ description: 'Bytes.' }),
      recipientDomains: domains.default([]).meta({ description: 'The first 20 different ones are kept.' }),
      further: z.boolean('must be true or false').optional().meta({
        description:
          'That of its queueId was reported when not all recipients were known. `recipients` is how many it has: those that are not recorded yet are.',
      }),
    }),
    z.strictObject({
      type: z.literal('recipients-refused'),
      ...head,
      queueId,
      ...sender,
      count: wholeUpTo(1_000_000).default(1).meta({ description: 'So many recipients do not exist.' }),
      code: z.int().min(500, 'must be from 500 to 599').max(599, 'must be from 500 to 599').default(550),
    }),
    z.strictObject({
      type: z.literal('bounce'),
      ...head,
      address: z.string('must be a text').min(1, 'must not be empty').transform(fitName).meta({
        description: 'The local address whose mail came back.',
      }),
      ip,
    }),
    z.strictObject({
      type: z.literal('login-failed'),
      ...head,
      account: name,
      ip: ip.refine((text) => text !== '', 'is missing'),
      count: wholeUpTo(10_000).default(1).meta({ description: 'So many failed alike.' }),
    }),
    z.strictObject({
      type: z.literal('returned'),
      id: head.id,
      kind: oneOf(['failed', 'complaint']),
      status: z
        .string('must be a text')
        .regex(/^[245]\.\d{1,3}\.\d{1,3}$/, 'must be a status code such as 5.1.1')
        .optional(),
      ids: z
        .array(shortId, 'must be a list of ids')
        .min(1, 'must name an id')
        .max(20, 'at most 20 ids')
        .meta({
          description: 'By which the message may be known here: transactions, queue ids, envelope ids.',
        }),
      senders: z
        .array(z.string('must be a text').transform(fitName), 'must be a list of names')
        .max(8, 'at most 8 senders')
        .meta({ description: 'Logins and addresses that may have sent it.' }),
    }),
  ],
  'must be accepted, recipients-refused, bounce, returned or login-failed',
);
type Item = z.infer<typeof itemInput>;

/** Each is checked by itself, so that a faulty one holds no other up. */
const batch = z
  .array(z.unknown().meta(itemDescription()), 'must be a list of items, as a JSON array or as NDJSON')
  .max(MOST_ITEMS, `at most ${MOST_ITEMS} items at once`);

const resultShape = z.object({
  id: z.string().nullable().meta({ description: 'Null where the item has none.' }),
  result: z.enum(['recorded', 'known', 'unproven', 'refused', 'unavailable']),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
});
const outcomeShape = z.object({
  recorded: z.int(),
  known: z.int(),
  refused: z.int(),
  results: z.array(resultShape).meta({ description: 'One for each item, in their order.' }),
});
type Result = z.infer<typeof resultShape>;

type Dependencies = Pick<ApiDependencies, 'clock' | 'log' | 'metrics'> & {
  readonly mailServers: MailServers;
};

/** What mail servers ask and report over HTTP, with tokens of their own role. */
export function mailServerRoutes(deps: Dependencies): readonly Route[] {
  const { mailServers, metrics } = deps;
  return [
    route<unknown, DecideInput>({
      method: 'post',
      path: '/api/v1/decide',
      summary: 'What a mail server is to answer a sender; a refusal is recorded',
      role: 'server',
      scope: 'none',
      body: { schema: decideInput },
      responses: { 200: { description: 'The verdict', schema: decisionShape } },
      handle({ body, requestId }) {
        const { stage, id, holds, ...names } = body;
        const fault = nobody(names);
        if (fault !== undefined) throw invalid([fault]);
        const correlation = id === '' ? `request:${requestId}` : id;
        const refused = verdictOn(mailServers, names, { stage, holds }, correlation);
        metrics.policy.answered(
          stage,
          refused === undefined ? 'dunno' : refused.action === 'hold' ? 'held' : 'refused',
        );
        const { action = 'accept', block = null } = refused ?? {};
        const told = refused?.action === 'refuse' ? refused.reply : undefined;
        return ok({ action, code: told?.code ?? null, text: told?.text ?? null, block });
      },
    }),
    route<unknown, readonly unknown[]>({
      method: 'post',
      path: '/api/v1/sends',
      summary:
        'Report sends, refused recipients, bounces, returned mail and failed logins; each counts once, however often it is sent',
      role: 'server',
      scope: 'none',
      needsModels: false,
      body: { schema: batch, limit: LARGEST, ndjson: MOST_ITEMS },
      responses: { 200: { description: 'What became of each item', schema: outcomeShape } },
      handle: reporting(deps),
    }),
  ];
}

function verdictOn(
  { verdicts }: MailServers,
  names: Names,
  { stage, holds }: Pick<DecideInput, 'stage' | 'holds'>,
  correlation: string,
) {
  if (stage === 'auth') return verdicts.refuseLogin(names, correlation);
  const who = verdicts.senderOf(names);
  const block = verdicts.blockOf(who, holds);
  return block === undefined
    ? undefined
    : verdicts.refuse(block, stage, who, correlation, { isHoldable: holds });
}

function reporting({
  clock,
  log,
  metrics,
  mailServers,
}: Dependencies): (request: ApiRequest<unknown, readonly unknown[]>) => Promise<Answer> {
  const refusals = new FloodCoalescer<FieldFault & { readonly by: string }>(
    clock,
    ({ by, field, message }, count, since) =>
      log.warn({ by, field, message, count, since: formatInstant(since) }, 'a reported event was refused'),
  );
  const strangers = new FloodCoalescer<string>(clock, (by, count, since) =>
    log.info({ by, count, since: formatInstant(since) }, 'returned mail is of no message that is known'),
  );
  return async ({ body, caller }) => {
    const now = clock.now();
    const by = `server:${caller.name}`;
    const results: Result[] = [];
    const reports: Report[] = [];
    const places: number[] = [];
    for (const [index, value] of body.entries()) {
      if (index % SLICE === SLICE - 1) await setImmediate();
      const read = readItem(value, now);
      results.push({
        id: idOf(value),
        result: 'refused',
        ...('errors' in read ? { errors: read.errors } : {}),
      });
      if ('report' in read) {
        reports.push(read.report);
        places.push(index);
        continue;
      }
      metrics.policy.reported('other', 'refused');
      const { field, message } = read.errors[0]!;
      refusals.add(`${by} ${message}`, { by, field: field.slice(0, 100), message });
    }
    const recorded = await mailServers.reports.record(reports, by);
    recorded.forEach((result, index) => {
      results[places[index]!]!.result = result;
      if (result === 'unproven') strangers.add(by, by);
    });
    const times = (wanted: Result['result']): number =>
      results.filter(({ result }) => result === wanted).length;
    const outcome = {
      recorded: times('recorded'),
      known: times('known'),
      refused: times('refused'),
      results,
    };
    const left = times('unavailable');
    if (left === 0) return ok(outcome);
    const message = `the store took ${recorded.length - left} of ${recorded.length} items: send the others again`;
    throw new StopgapError('unavailable', message, outcome);
  };
}

function readItem(
  value: unknown,
  now: Instant,
): { readonly report: Report } | { readonly errors: FieldFault[] } {
  const read = itemInput.safeParse(value);
  if (!read.success) return { errors: read.error.issues.flatMap((issue) => faultsOf(issue, 'item')) };
  const item = read.data;
  const errors = [timeFault(item, now), 'ehlo' in item ? nobody(item) : undefined, furtherFault(item)].filter(
    (fault) => fault !== undefined,
  );
  return errors.length > 0 ? { errors } : { report: reportOf(item) };
}

function reportOf(item: Item): Report {
  if (item.type === 'bounce' || item.type === 'returned' || item.type === 'login-failed') return item;
  const { account, returnPath, ehlo, ip: address, direction, ...rest } = item;
  return { ...rest, names: { account, returnPath, ehlo, ip: address, direction } };
}

function timeFault(item: Item, now: Instant): FieldFault | undefined {
  const at = 'at' in item ? item.at : undefined;
  if (at === undefined) {
    const isNeeded = 'queueId' in item && item.queueId !== undefined;
    return isNeeded
      ? { field: 'at', message: 'is missing: queue ids are used again, so the day is needed' }
      : undefined;
  }
  if (at > now + CLOCK_TOLERANCE)
    return { field: 'at', message: `must not lie in the future (it is ${formatInstant(now)})` };
  if (at < now - DAY)
    return { field: 'at', message: 'must not be more than a day ago: stopgap import takes history' };
  return undefined;
}

function furtherFault(item: Item): FieldFault | undefined {
  const isNameless = item.type === 'accepted' && item.further === true && item.queueId === undefined;
  return isNameless ? { field: 'queueId', message: 'is missing: further names no message' } : undefined;
}

function nobody({ account, returnPath = '', ip: from }: Names): FieldFault | undefined {
  if (account !== '' || returnPath !== '' || from !== '') return undefined;
  return { field: 'account', message: 'nobody is named: give at least one of account, returnPath and ip' };
}

function idOf(value: unknown): string | null {
  const { id } = (value ?? {}) as { readonly id?: unknown };
  return typeof id === 'string' ? id.slice(0, 255) : null;
}

function itemDescription(): Record<string, unknown> {
  const { $schema: _, ...schema } = z.toJSONSchema(itemInput, { io: 'input', unrepresentable: 'any' });
  return schema;
}
