import { z } from 'zod';
import { CHANNEL_TYPES, NOTICE_EVENTS } from '../config/notices.js';
import { StopgapError } from '../kernel/errors.js';
import type { Instant } from '../kernel/time.js';
import type { Listed, NoticeCommands } from '../notices/commands.js';
import { sum } from '../notices/gathering.js';
import type { Delivery } from '../notices/deliveries.js';
import { isUnderWay } from '../notices/deliveries.js';
import { NOTICE_KINDS } from '../notices/events.js';
import { plainOf } from '../notices/formats.js';
import { textOf } from '../notices/texts.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { instantShape, instantView } from './shapes.js';

export const NOTICES = '/api/v1/notices';

const STATES = ['waiting', 'sending', 'delivered', 'dead'] as const;

const noticeShape = z
  .object({
    id: z.string().meta({ description: 'The webhook-id, the same over all attempts.' }),
    channel: z.string(),
    kind: z.enum(NOTICE_KINDS),
    to: z.string().nullable().meta({ description: 'The owner that it goes to; null: the channel itself.' }),
    state: z.enum(STATES).meta({ description: 'dead: it was given up and may be resent.' }),
    at: instantShape,
    title: z.string(),
    events: z.int().meta({ description: 'What it tells of.' }),
    attempts: z.int(),
    nextAt: instantShape.nullable().meta({ description: 'When it is sent again; null if it is not.' }),
    error: z.string().nullable().meta({ description: 'Why the last attempt failed.' }),
  })
  .meta({ id: 'Notice' });

const channelShape = z
  .object({
    name: z.string(),
    type: z.enum(CHANNEL_TYPES),
    events: z.array(z.enum(NOTICE_EVENTS)),
    disabled: z
      .boolean()
      .meta({ description: 'Its receiver answered 410: nothing is sent until a test or a resend.' }),
    waiting: z.int().meta({ description: 'Notices that are made and not sent yet.' }),
    stuck: z.int().meta({
      description:
        'Receivers (the channel itself, each owner) to whom so many notices are under way that what happens only gathers for them.',
    }),
    gathered: z.int().nullable().meta({
      description:
        'Events that wait for the next notice, as in quiet hours; null where the process that answers sends no notices.',
    }),
    gatheredUntil: instantShape.nullable().meta({ description: 'When that notice is made.' }),
    dead: z.int(),
    notices: z.array(noticeShape).meta({ description: 'Newest first.' }),
  })
  .meta({ id: 'NoticeChannel' });

const listShape = z.object({ channels: z.array(channelShape) });
const testInput = z.strictObject({ channel: z.string('must be the name of a channel').max(32) });
const acceptedShape = z.object({ id: z.string(), channel: z.string() });

const untriedShape = z.object({
  channel: z.string(),
  wouldSay: z.string().meta({ description: 'What a test would say, if it were sent.' }),
});

type NoticesJson = z.infer<typeof listShape>;
type NoticeJson = z.infer<typeof noticeShape>;
type UntriedJson = z.infer<typeof untriedShape>;
type NoticeAcceptedJson = z.infer<typeof acceptedShape>;

/** Channels that notices are sent to, and what became of the notices. */
export function noticeRoutes({ notices, publicUrl, clock }: ApiDependencies): readonly Route[] {
  const commands = (): NoticeCommands => {
    if (notices !== undefined) return notices;
    throw new StopgapError('not-found', 'no channel is named: see notices.channels in the configuration');
  };
  return [
    route({
      method: 'get',
      path: NOTICES,
      summary: 'List the channels of notices, and what became of the last notices of each',
      role: 'viewer',
      scope: 'none',
      responses: { 200: { description: 'Every channel of the configuration', schema: listShape } },
      async handle() {
        const channels = notices === undefined ? [] : await notices.list();
        return ok({
          channels: channels.map((one) => channelView(one, publicUrl, clock.now())),
        } satisfies NoticesJson);
      },
    }),
    route<unknown, z.infer<typeof testInput>>({
      method: 'post',
      path: `${NOTICES}/test`,
      summary: 'Send what the newest block made a channel say, marked as a test',
      role: 'operator',
      scope: 'none',
      body: { schema: testInput },
      responses: {
        202: { description: 'It is sent', schema: acceptedShape },
        200: {
          description: 'Nothing was sent: the channel tells owners alone, who are customers',
          schema: untriedShape,
        },
      },
      async handle({ body: { channel }, caller, requestId }) {
        const by = `admin:${caller.name}`;
        const { notice, texts, isSent } = await commands().test(channel, by, `request:${requestId}`);
        if (isSent) return { status: 202, body: { id: notice.id, channel } satisfies NoticeAcceptedJson };
        return ok({ channel, wouldSay: plainOf(textOf(notice, publicUrl, texts)) } satisfies UntriedJson);
      },
    }),
    route({
      method: 'post',
      path: `${NOTICES}/{id}/resend`,
      summary: 'Send a notice again that was given up, with the same id',
      role: 'operator',
      scope: 'none',
      responses: { 202: { description: 'It is sent', schema: acceptedShape } },
      async handle({ params, caller, requestId }) {
        const { id } = params as { id: string };
        const { channel } = await commands().resend(id, `admin:${caller.name}`, `request:${requestId}`);
        return { status: 202, body: { id, channel: channel.name } satisfies NoticeAcceptedJson };
      },
    }),
  ];
}

function channelView(
  { channel, state, isLive }: Listed,
  publicUrl: string | undefined,
  now: Instant,
): NoticesJson['channels'][number] {
  const { name, type, events } = channel;
  const { deliveries, disabled, stuck } = state;
  return {
    name,
    type,
    events: [...events],
    disabled,
    waiting: deliveries.filter(isUnderWay).length,
    stuck,
    gathered: isLive ? state.gathered : null,
    gatheredUntil: isLive ? instantView(state.gatheredUntil(now)) : null,
    dead: deliveries.filter((one) => one.state === 'dead').length,
    notices: deliveries.map((one) => noticeView(name, one, publicUrl)).reverse(),
  };
}

function noticeView(channel: string, one: Delivery, publicUrl: string | undefined): NoticeJson {
  const { notice, state, attempts, nextAt, error } = one;
  const { id, kind, at, counts, to = null } = notice;
  return {
    id,
    channel,
    kind,
    to,
    state,
    at: instantView(at)!,
    attempts,
    title: textOf(notice, publicUrl).title,
    events: sum(counts),
    nextAt: state === 'waiting' ? instantView(nextAt) : null,
    error: error ?? null,
  };
}
