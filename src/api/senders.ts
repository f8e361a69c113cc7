import { z } from 'zod';
import { stateAt } from '../../projections/blocks/block-entry.js';
import { SeenIds } from '../../projections/blocks/effective-blocks.js';
import { LEARNING, SUMS } from '../rules/model.js';
import { sendStream } from '../sending/events.js';
import { clientNetwork } from '../sending/identity.js';
import type { Subject } from '../sending/subjects.js';
import { SUBJECT_TYPES, parseSubject } from '../sending/subjects.js';
import { latestOf } from './block-entries.js';
import type { ApiDependencies } from './dependencies.js';
import type { Route } from './http/route.js';
import { ok, route } from './http/route.js';
import { oneOf, wholeNumber } from './inputs.js';
import { profileShape, profileView } from './profile-view.js';
import { blockShape, coverShape, listOf, subjectShape, windowShape } from './shapes.js';
import { blockView, subjectView, windowView } from './views.js';
import { formatDuration, formatInstant } from '../kernel/time.js';

const SENDERS = '/api/v1/senders';
const LATEST_SENDS = 50;
const LATEST_BLOCKS = 50;

const busiestQuery = z.strictObject({
  by: oneOf(SUBJECT_TYPES).default('account'),
  count: oneOf(SUMS).default('recipients'),
  limit: wholeNumber(1, 500, 20),
});
const busiestItem = z.object({
  subject: subjectShape,
  count: z.string(),
  amount: z.number(),
  window: z.string().meta({ description: 'The longest window in which a rule counts it.' }),
  block: z.string().nullable().meta({ description: 'Id of the block on just this subject.' }),
});
const sender = z.object({
  subject: subjectShape,
  windows: z.array(windowShape),
  usual: profileShape.nullable().meta({
    description: 'What an account or a domain usually does; null where nothing is known yet.',
  }),
  standing: z.object({
    block: blockShape.nullable(),
    proposal: blockShape.nullable(),
    exemption: coverShape.nullable(),
  }),
  blocks: z
    .array(blockShape)
    .meta({ description: `Newest first, at most ${LATEST_BLOCKS}; the standing ones too.` }),
  sends: z.object({
    available: z.boolean(),
    note: z.string().nullable(),
    items: z
      .array(z.object({ position: z.int(), type: z.string(), at: z.string(), data: z.unknown() }))
      .meta({ description: `Newest first, at most ${LATEST_SENDS}.` }),
  }),
});

type Sender = z.infer<typeof sender>;

/** Who sends how much, against which limits. */
export function senderRoutes(deps: ApiDependencies): readonly Route[] {
  const { models, clock } = deps;
  return [
    route<z.infer<typeof busiestQuery>>({
      method: 'get',
      path: SENDERS,
      summary: 'The busiest senders now',
      role: 'viewer',
      query: busiestQuery,
      responses: {
        200: { description: 'Busiest first; empty where no rule counts this', schema: listOf(busiestItem) },
      },
      handle({ query: { by, count, limit } }) {
        const now = clock.now();
        const items = models.sendVolume.busiest(by, count, limit, now).map(({ value, amount, window }) => {
          const subject = { type: by, value };
          const block = models.activeBlocks.on(subject);
          const inForce = block !== undefined && (block.until === null || block.until > now);
          return { subject, count, amount, window: formatDuration(window), block: inForce ? block.id : null };
        });
        return ok({ items, next: null });
      },
    }),
    route({
      method: 'get',
      path: `${SENDERS}/{type}/{value}`,
      summary:
        "One sender: its windows against the limits, its standing, its blocks so far, an account's latest sends",
      role: 'viewer',
      responses: { 200: { description: 'The sender; one never seen has empty windows', schema: sender } },
      handle: async ({ params }) =>
        ok(await senderView(deps, parseSubject(params['type']!, params['value']!, 'sender'))),
    }),
  ];
}

async function senderView(deps: ApiDependencies, subject: Subject): Promise<Sender> {
  const { models, clock } = deps;
  const now = clock.now();
  const live = models.ledger.liveOn(subject);
  const inState = (state: 'active' | 'proposed'): Sender['standing']['block'] =>
    live !== undefined && stateAt(live, now) === state ? blockView(live, now) : null;
  const entries = await latestOf(deps, subject, LATEST_BLOCKS);
  const counted = countedAs(subject);
  const exemption = models.exemptions.covering(subject, now);
  return {
    subject: subjectView(subject),
    windows: models.sendVolume.readings(counted, now).map((reading) => windowView(counted, reading)),
    usual: profileView(
      models.sendVolume.profiles,
      subject,
      models.sendVolume.rules.learning ?? LEARNING,
      now,
    ),
    standing: {
      block: inState('active'),
      proposal: inState('proposed'),
      exemption: exemption === undefined ? null : { ...exemption, subject: subjectView(subject) },
    },
    blocks: entries.map((entry) => blockView(entry, now)),
    sends: await latestSends(deps, subject),
  };
}

/** The subject under which sends are counted: of an IPv6 address its /64. */
function countedAs(subject: Subject): Subject {
  const isAddress = subject.type === 'ip' && !subject.value.includes('/');
  return isAddress ? { type: 'ip', value: clientNetwork(subject.value) } : subject;
}

async function latestSends({ store }: ApiDependencies, { type, value }: Subject): Promise<Sender['sends']> {
  if (type !== 'account') {
    const note = `sends are kept by account: there is no list of those of one ${type}; GET /api/v1/events?categories=send has them all`;
    return { available: false, note, items: [] };
  }
  const items: Sender['sends']['items'] = [];
  const seen = new SeenIds();
  // Some may stand there twice.
  const newest = store.readStream(sendStream(value), { direction: 'backwards', limit: 2 * LATEST_SENDS });
  for await (const { id, position, type: kind, at, data } of newest) {
    if (seen.isNew(id)) items.push({ position, type: kind, at: formatInstant(at), data });
    if (items.length === LATEST_SENDS) break;
  }
  return { available: true, note: null, items };
}
