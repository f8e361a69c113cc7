import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ApiDependencies } from '../../../src/api/index.js';
import { ChannelState } from '../../../src/notices/channel-state.js';
import { NoticeCommands } from '../../../src/notices/commands.js';
import type { Notice } from '../../../src/notices/events.js';
import { envelope, newId } from '../../../src/runtime/ids.js';
import { NOON } from '../../support/manual-clock.js';
import { channelOf } from '../../support/notices/channels.js';
import { assertAccessible, assertReflows, PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

describe('the screen of notices in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    const mail = { type: 'mail', url: undefined, secret: undefined, smtp: 'smtp://127.0.0.1:9' };
    const channels = [
      channelOf(),
      channelOf({ name: 'chat', type: 'slack', secret: undefined }),
      channelOf({ ...mail, name: 'owners', owners: 'customer.example=admin@office.example' }),
      channelOf({ name: 'night', quietHours: '00:00-23:59' }),
    ];
    const night = new ChannelState(channels[3]!);
    night.apply({ type: 'ChannelFollowed', data: { through: 0 }, at: 0, revision: 0 });
    const about = { event: 'imposed', by: 'rule:burst@1', why: 'too many', at: NOON } as const;
    for (const position of [1, 2]) night.gather(position, { ...about, position }, NOON);
    const live = (name: string) => (name === 'night' ? night : undefined);
    server = await PageServer.start((deps: ApiDependencies) => ({
      ...deps,
      notices: new NoticeCommands({ ...deps, channels, live }),
    }));
    await server.api.block('ann@example.com');
    const id = newId();
    const counts = { imposed: 2 };
    const notice: Notice = { id, kind: 'events', at: server.api.clock.now(), items: [], counts };
    await record('NoticeDue', { notice, through: 0 });
    await record('NoticeAttempted', { notice: id });
    await record('NoticeFailed', { notice: id, error: 'HTTP 500', retryAt: null });
  });
  after(() => server.stop());

  async function record(type: string, data: unknown): Promise<void> {
    const { deps, clock } = server.api;
    const events = envelope([{ type, data }], { by: 'system:notices' }, clock.now());
    await deps.store.append('notices-ops', events, 'any');
  }

  test('shows what was given up and why, and sends it again', async () => {
    const page = await server.open({ as: 'operator', at: '/notices' });
    const channel = page.getByRole('region', { name: 'ops' });
    await channel.getByText('1 given up').waitFor();
    await channel.getByText('HTTP 500').waitFor();
    await assertAccessible(page);
    await channel.getByRole('button', { name: 'Resend' }).press('Enter');
    await page.getByText('Sends again: Stopgap: 2 senders blocked').waitFor();
    await channel.getByText('1 waiting').waitFor();
  });

  test('sends a test', async () => {
    const page = await server.open({ as: 'operator', at: '/notices' });
    const channel = page.getByRole('region', { name: 'chat' });
    await channel.getByText('Nothing was sent yet').waitFor();
    await channel.getByRole('button', { name: 'Send a test to chat' }).press('Enter');
    await channel.getByText('Stopgap (test)').waitFor();
  });

  test('shows what quiet hours keep back, and tests no channel of owners alone but shows what it would say', async () => {
    const page = await server.open({ as: 'operator', at: '/notices' });
    await page.getByRole('region', { name: 'night' }).getByText('2 events are told at').waitFor();
    await page.getByRole('button', { name: 'Send a test to owners' }).press('Enter');
    await page
      .getByText('Nothing was sent: owners tells owners alone. It would say: Stopgap (test)')
      .waitFor();
    await page.getByRole('region', { name: 'owners' }).getByText('Nothing was sent yet').waitFor();
  });

  test('lets a viewer see, and send nothing', async () => {
    const page = await server.open({ as: 'viewer', at: '/notices' });
    await page.getByRole('region', { name: 'ops' }).waitFor();
    assert.equal(await page.getByRole('button', { name: /test|Resend/i }).count(), 0);
  });

  test('says how to begin where nothing is configured', async () => {
    const page = await server.open({ as: 'admin', at: '/changes' });
    await page.route('**/api/v1/notices', (route) => route.fulfill({ json: { channels: [] } }));
    await page.getByRole('link', { name: 'Notices' }).click();
    await page.getByText('docs/run/notices.md').waitFor();
    await assertAccessible(page);
  });

  test('has no fault that axe knows, in light and dark colours, and fits 320 pixels', async () => {
    const page = await server.open({ as: 'admin', at: '/notices' });
    await page.getByRole('region', { name: 'ops' }).waitFor();
    await assertAccessible(page);
    await assertReflows(page);
  });
});
