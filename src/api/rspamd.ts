import { z } from 'zod';
import { StopgapError } from '../kernel/errors.js';
import type { MailServers } from '../recording/reports.js';
import type { Names } from '../recording/verdicts.js';
import { fitName } from '../kernel/printable.js';
import { newId } from '../runtime/ids.js';
import { domainOf } from '../sending/identity.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { once } from './shapes.js';

/** Bytes: rspamd's own format may have all header fields and symbols of a message. */
const LARGEST = 1024 * 1024;

/** No message has more. */
const MOST_RECIPIENTS = 1_000_000;

/** How rspamd writes what it does not know. */
const UNKNOWN = 'unknown';
const known = z
  .unknown()
  .optional()
  .transform((given) => (typeof given === 'string' && given !== UNKNOWN ? fitName(given) : ''));

const count = z
  .unknown()
  .optional()
  .transform((given) => (Number.isSafeInteger(given) && Number(given) > 0 ? Number(given) : 0));

/** What `metadata_exporter` writes, in the format of the recipe or in rspamd's own; all else in it is passed over. */
const metadata = z.looseObject({
  user: known,
  from: known,
  ip: known,
  helo: known,
  qid: known.transform((given) => given.slice(0, 255)),
  action: known,
  rcpt: z
    .unknown()
    .optional()
    .transform((given) => (Array.isArray(given) ? given.map((one) => fitName(String(one))) : [])),
  /** How many there are, where `rcpt` does not name them all. */
  recipients: count,
  size: count,
});
type Metadata = z.infer<typeof metadata>;

/** Actions after which the client was told 250 and the message goes on. */
const GOES_ON: ReadonlySet<string> = new Set([
  'no action',
  'add header',
  'rewrite subject',
  'quarantine',
  'accept',
]);

interface MapQuery {
  readonly key: string;
}

/** What rspamd asks and tells: it can send no header of its own, so that the token is in the path. */
export function rspamdRoutes({
  mailServers,
  metrics,
  tokens,
  clock,
}: Pick<ApiDependencies, 'metrics' | 'tokens' | 'clock'> & {
  readonly mailServers: MailServers;
}): readonly Route[] {
  const { verdicts, reports } = mailServers;
  return [
    route<MapQuery>({
      method: 'get',
      path: '/rspamd/{token}/blocked',
      summary: 'For a multimap of rspamd: 200 if the account is blocked, 404 if not',
      role: 'server',
      scope: 'none',
      authenticator: tokens,
      query: z.object({ key: once.transform(fitName) }),
      responses: { 200: { description: 'Blocked', type: 'text/plain', schema: z.string() } },
      handle({ query, requestId }) {
        const names: Names = { account: query.key, returnPath: undefined, ehlo: '', ip: '' };
        const sender = verdicts.senderOf(names);
        const block = query.key === '' ? undefined : verdicts.blockOf(sender, false);
        metrics.policy.answered('data', block === undefined ? 'dunno' : 'refused');
        if (block === undefined) throw new StopgapError('not-found', 'this account is not blocked');
        // rspamd refuses, whatever it is told.
        verdicts.refuse(block, 'data', sender, `request:${requestId}`, { isHoldable: false });
        return { status: 200, text: 'blocked\n', type: 'text/plain; charset=utf-8' };
      },
    }),
    route<unknown, Metadata>({
      method: 'post',
      path: '/rspamd/{token}/sent',
      summary: 'For metadata_exporter of rspamd: a message that was accepted is a send',
      role: 'server',
      scope: 'none',
      authenticator: tokens,
      needsModels: false,
      body: { schema: metadata, limit: LARGEST },
      responses: {
        200: {
          description: 'What became of it',
          schema: z.object({ result: z.enum(['recorded', 'known', 'skipped']) }),
        },
      },
      async handle({ body, caller }) {
        const { user, from, ip, helo, qid, action, rcpt, recipients, size } = body;
        const isNobody = user === '' && from === '' && ip === '';
        if (isNobody || !GOES_ON.has(action)) return ok({ result: 'skipped' });
        const [result] = await reports.record(
          [
            {
              type: 'accepted',
              id: newId(),
              at: clock.now(),
              ...(qid === '' ? {} : { queueId: qid }),
              names: { account: user, returnPath: from, ehlo: helo, ip },
              recipients: Math.min(MOST_RECIPIENTS, Math.max(1, recipients, rcpt.length)),
              size,
              recipientDomains: rcpt.flatMap((one) => domainOf(one) ?? []),
            },
          ],
          `server:${caller.name}`,
        );
        if (result === 'unavailable') throw new StopgapError('unavailable', 'the store does not take it now');
        return ok({ result });
      },
    }),
  ];
}
