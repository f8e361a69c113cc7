import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';
import { eventually } from '../../support/smtp/eventually.js';

describe('several tabs of a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
  });
  after(() => server.stop());

  const feeds = async (): Promise<number> => (await server.api.deps.metrics.api.feeds.get()).values[0]!.value;
  const shows = (page: Page, name: string): Promise<void> =>
    page.getByRole('table', { name: 'Blocks' }).getByText(`${name}@example.com`).waitFor();

  test('share one stream of events; another takes over when its tab closes, and misses nothing', async () => {
    const leader = await server.open({ as: 'viewer', at: '/blocks' });
    await leader.getByText('Live', { exact: true }).waitFor();
    let asked = 0;
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => (open = resolve));
    await leader.context().route('**/api/v1/events?*', async (route) => {
      asked++;
      await opened;
      await route.continue();
    });
    const others: Page[] = [];
    for (let tab = 0; tab < 3; tab++) {
      const page = await leader.context().newPage();
      await page.goto(leader.url());
      await page.getByText('Live', { exact: true }).waitFor();
      others.push(page);
    }
    await server.api.block('first@example.com');
    for (const page of [leader, ...others]) await shows(page, 'first');
    assert.deepEqual([asked, await feeds()], [0, 1]);

    await leader.close();
    await eventually('another tab asks for the events', () => asked === 1);
    await eventually('the stream of the first has ended', async () => (await feeds()) === 0);
    await server.api.block('between@example.com');
    open();
    for (const page of others) await shows(page, 'between');
    await server.api.block('last@example.com');
    for (const page of others) await shows(page, 'last');
    assert.deepEqual([asked, await feeds()], [1, 1]);
  });
});
