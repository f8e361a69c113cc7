import { z } from 'zod';
import type { BlockEntry } from '../../projections/blocks/block-entry.js';
import type { RecordedEvent } from '../kernel/events.js';
import { keyOf } from '../kernel/events.js';
import type { Instant } from '../kernel/time.js';
import { DAY, formatInstant } from '../kernel/time.js';
import {
  CLOCK_TOLERANCE,
  heldStream,
  isHeldEvent,
  SEND_CATEGORY,
  senderOf,
  senderOfHeld,
  sendStream,
} from '../sending/events.js';
import { HELD_KEPT } from '../sending/most-held.js';
import type { EventStore } from '../store/port.js';
import { blockLetter } from './block-letter.js';
import type { ReportJson } from './block-report.js';
import { ContainmentReport, onsetOf, reportShape } from './block-report.js';
import { blockView } from './block-view.js';
import { BLOCKS, findEntry } from './blocks.js';
import type { ApiDependencies } from './dependencies.js';
import type { Undone } from './held-findings.js';
import { heldOf } from './held.js';
import type { Concerns, Route } from './http/route.js';
import { ok, route } from './http/route.js';
import type { LongReads } from './long-reads.js';
import { atMost, becameElsewhere } from './moved-mail.js';
import { oneOf } from './shapes.js';
import { firstAfter, LOOKED_AT_FOR_LATE } from './stream-order.js';

/** Events that are read for one report: some seconds of work, of which the event loop feels nothing. */
const MOST_READ = 200_000;

const reportQuery = z.strictObject({
  format: oneOf(['json', 'text'])
    .optional()
    .meta({ description: 'text: a letter to the customer. Unless given, Accept says.' }),
});

/** What a block stopped, what it did not, and what clients were told. */
export function blockReportRoute(deps: ApiDependencies, reads: LongReads, mostRead = MOST_READ): Route {
  return route<z.infer<typeof reportQuery>>({
    method: 'get',
    path: `${BLOCKS}/{id}/report`,
    summary: 'What got through before and after a block, what it stopped, and what clients were told',
    role: 'viewer',
    scope: 'own',
    query: reportQuery,
    responses: {
      200: {
        description: 'The report; as text/plain a letter that can be sent to the customer',
        schema: reportShape,
        text: 'text/plain',
      },
    },
    async handle(asking) {
      const { params, query, request, concerns } = asking;
      const entry = await findEntry(deps, params['id']!, concerns);
      const [report, undone] = await reads.run(asking, (look) =>
        reportOn(deps, entry, concerns, mostRead, look),
      );
      const asked = request.accepts(['application/json', 'text/plain']);
      const isText = query.format === undefined ? asked === 'text/plain' : query.format === 'text';
      if (!isText) return ok(report, { Vary: 'Accept' });
      const text = blockLetter(report, deps.contact, undone);
      return { status: 200, text, type: 'text/plain; charset=utf-8', headers: { Vary: 'Accept' } };
    },
  });
}

/** @throws StoreUnavailable */
async function reportOn(
  deps: ApiDependencies,
  entry: BlockEntry,
  concerns: Concerns,
  mostRead: number,
  look: () => void,
): Promise<readonly [ReportJson, Undone]> {
  const { store, clock, retention } = deps;
  const now = clock.now();
  const kept = now - retention.sends;
  const { count: waiting, decided, hasOthers: others, moved } = await heldOf(store, entry, concerns);
  const report = new ContainmentReport(entry, deps.models.pastBlocks, moved);
  let left = mostRead;
  let last = -Infinity;
  let isWhole = true;
  const read = async (events: AsyncIterable<RecordedEvent>, kept: Instant): Promise<void> => {
    let beyond = 0;
    for await (const event of events) {
      look();
      if (report.isBeyond(event.at)) {
        if (++beyond > LOOKED_AT_FOR_LATE) break;
        continue;
      }
      if (left-- === 0) {
        isWhole = false;
        break;
      }
      // The next sweep deletes it.
      if (event.at < kept) continue;
      const sender = isHeldEvent(event) ? senderOfHeld(event.data) : senderOf(keyOf(event.stream));
      if (concerns(sender)) report.apply(event);
      last = Math.max(last, event.at);
    }
  };
  const since = countedSince(entry);
  await read(await sendsOf(store, entry, since), kept);
  const covered = isWhole || last === -Infinity ? null : formatInstant(last);
  left = mostRead;
  await read(store.readStream(heldStream(entry.id)), now - HELD_KEPT);
  const { held, ...findings } = report.findings();
  const elsewhere = atMost(held.moved, await becameElsewhere(deps, entry, concerns, look));
  const json = {
    block: blockView(entry, now, concerns),
    ...findings,
    held: { ...held, waiting, decided, elsewhere, others },
    coveredUntil: covered,
    keptSince: since < kept ? formatInstant(kept) : null,
  };
  return [json, report.undone(deps.callsHook === true)];
}

/** How far back mail is looked at that got through before a block without evidence. */
const BEFORE: number = DAY;

/** From when on mail may have got through that is counted. */
function countedSince({ subject, evidence, history }: BlockEntry): Instant {
  const first = history.find((item) => item.evidence !== undefined)?.evidence ?? evidence;
  // Each of many accounts sent what made it one of them before it counted as one.
  const own = first?.count === 'accounts' ? BEFORE : 0;
  if (first !== undefined) return first.lastAt - first.window - own;
  return history[0]!.at - (subject.type === 'account' ? BEFORE : 0);
}

/**
 * The events that may be about a block. Those of an account have a stream of their own; any other sender may be in every
 * stream.
 */
async function sendsOf(
  store: EventStore,
  entry: BlockEntry,
  since: Instant,
): Promise<AsyncIterable<RecordedEvent>> {
  const { subject, history } = entry;
  const begin = history[0]!;
  if (subject.type !== 'account')
    return store.readAll({ from: onsetOf(entry) ?? begin.position, categories: [SEND_CATEGORY] });
  const stream = sendStream(subject.value);
  const from = await firstAfter(
    store,
    stream,
    ({ position, recordedAt }) => position < begin.position && recordedAt <= since - CLOCK_TOLERANCE,
  );
  return store.readStream(stream, { from });
}
