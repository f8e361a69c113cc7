import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import type { BlockFact } from '../../../src/blocks/events.js';
import { blockStream } from '../../../src/blocks/events.js';
import { asRelay } from '../../../src/config/values.js';
import { DAY, HOUR, SECOND } from '../../../src/kernel/time.js';
import { Metrics } from '../../../src/metrics/metrics.js';
import { MOST_ITEMS } from '../../../src/notices/gathering.js';
import { Notices } from '../../../src/notices/notices.js';
import { envelope, newId } from '../../../src/runtime/ids.js';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { eventBytes } from '../../../src/store/port.js';
import { startOn } from '../../support/api/server.js';
import { StandIn } from '../../support/kurrentdb/stand-in.js';
import { ManualClock } from '../../support/manual-clock.js';
import { channelOf } from '../../support/notices/channels.js';
import { MailReceiver } from '../../support/notices/receiver.js';
import { eventually } from '../../support/smtp/eventually.js';

const NAMES = Array.from({ length: 40 }, (_, index) => `o${index}.example`);

test('notices of one moment to many owners arrive, all of them, though KurrentDB takes less at once', async (t) => {
  const clock = new ManualClock();
  const server = await StandIn.start();
  const store = await openKurrentStore({ url: server.url, clock });
  const node = await startOn(store, '', clock);
  const mail = await MailReceiver.start(t);
  const problems: string[] = [];
  const channel = channelOf({
    type: 'mail',
    url: undefined,
    secret: undefined,
    smtp: mail.url,
    to: 'ops@example.com',
    events: 'imposed',
    owners: NAMES.map((name) => `${name}=admin@office-${name}`),
  });
  const notices = new Notices({
    channels: [channel],
    store,
    models: node.deps.models,
    clock,
    isAlone: true,
    retention: 35 * DAY,
    log: pino({ level: 'warn' }, { write: (line: string) => void problems.push(line) }),
    metrics: new Metrics().notices,
    publicUrl: undefined,
    relay: asRelay('smtp://127.0.0.1:9', '/'),
    hostname: 'mx.example.com',
  });
  t.after(async () => {
    await notices.close();
    await node.stop();
    await server.kill();
  });
  await notices.start();
  for (const name of NAMES) {
    const subject = { type: 'account', value: `alice@${name}` } as const;
    const facts = Array.from({ length: MOST_ITEMS }, (): BlockFact[] => {
      const block = newId();
      return [
        {
          type: 'BlockImposed',
          data: {
            block,
            subject,
            direction: 'outbound',
            description: 'x'.repeat(500),
            refusal: 'soft',
            until: clock.now() + HOUR,
            origin: 'admin',
            renewWhileTrying: false,
          },
        },
        { type: 'BlockReleased', data: { block, falsePositive: false } },
      ];
    }).flat();
    await store.append(blockStream(subject), envelope(facts, { by: 'admin:alice' }, clock.now()), 'none');
  }
  // The channel itself is told of all, and each owner of its own.
  const count = 2 * NAMES.length * MOST_ITEMS;
  await eventually('all has gathered', () => notices.stateOf('ops')?.gathered === count);
  clock.advance(30 * SECOND);
  const receivers = ['ops@example.com', ...Object.values(channel.owners!)];
  await mail.got(receivers.length);
  assert.deepEqual(mail.mails.flatMap(({ to }) => to).toSorted(), receivers.toSorted());
  assert.deepEqual(problems, []);
  let bytes = 0;
  for await (const event of store.readStream('notices-ops'))
    if (event.type === 'NoticeDue') bytes += eventBytes(event);
  assert.ok(bytes > store.maxAppendBytes, `${bytes} bytes fit into one append`);
});
