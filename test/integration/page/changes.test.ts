import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { HOUR } from '../../../src/kernel/time.js';
import { assertAccessible, assertReflows, PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

describe('the screen of changes in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  let early: string;
  before(async () => {
    server = await PageServer.start();
    await server.api.block('ann@example.com', { description: 'phished' });
    await server.api.block('eve@own.example');
    early = new Date(server.api.clock.now() + HOUR).toISOString();
    server.api.clock.advance(2 * HOUR);
    const subject = { type: 'account', value: 'news@example.com' };
    await server.api.post('/api/v1/exemptions', { subject, reason: 'weekly list', duration: '30d' });
  });
  after(() => server.stop());

  test('says who did what, to whom, why and through what, and leads to the block', async () => {
    const page = await server.open({ as: 'viewer', at: '/changes' });
    const exempted = page.getByRole('row').filter({ hasText: 'news@example.com' });
    await exempted.getByText('Exempted').waitFor();
    for (const text of ['weekly list', 'a program']) await exempted.getByText(text).waitFor();
    const blocked = page.getByRole('row').filter({ hasText: 'ann@example.com' });
    await blocked.getByRole('link', { name: 'Blocked' }).click();
    await page.waitForURL(/#\/blocks\/[\w-]+$/);
  });

  test('keeps its filters in the URL, exports the same, and says when nothing matches', async () => {
    const page = await server.open({ as: 'viewer', at: '/changes' });
    await page.getByLabel('What').selectOption('Exemptions');
    await page.getByText('ann@example.com').waitFor({ state: 'detached' });
    await page.getByText('news@example.com').waitFor();
    assert.match(page.url(), /type=ExemptionGranted/);
    assert.match(
      (await page.getByRole('link', { name: 'Export CSV' }).getAttribute('href'))!,
      /type=ExemptionGranted.*format=csv/,
    );
    await page.getByLabel('Who').fill('nobody');
    await page.getByText('No change matches').waitFor();
    await page.getByRole('button', { name: 'Show all' }).click();
    await page.getByText('ann@example.com').waitFor();
  });

  test('shows nothing that came after the instant of which it tells', async () => {
    const page = await server.open({ as: 'viewer', at: `/changes?at=${early}` });
    await page.getByText('ann@example.com').waitFor();
    assert.equal(await page.getByText('news@example.com').count(), 0);
  });

  test('shows the administrator of a domain what concerns it, and no rules', async () => {
    const page = await server.open({ as: 'domain', at: '/changes' });
    await page.getByText('eve@own.example').waitFor();
    assert.equal(await page.getByText('ann@example.com').count(), 0);
    assert.equal(await page.getByLabel('What').getByRole('option', { name: 'Rules' }).count(), 0);
  });

  test('says that the server fails, and tries again when asked', async () => {
    const page = await server.open({ as: 'viewer', at: '/exemptions' });
    await page.getByText('news@example.com').waitFor();
    await page.route('**/api/v1/changes*', (route) =>
      route.fulfill({
        status: 503,
        contentType: 'application/problem+json',
        body: JSON.stringify({ status: 503, code: 'unavailable', detail: 'the store does not answer' }),
      }),
    );
    await page.getByRole('link', { name: 'Changes' }).click();
    await page.getByRole('alert').getByText('the store does not answer').waitFor();
    await page.unroute('**/api/v1/changes*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('ann@example.com').waitFor();
  });

  test('has the filters of a time beside each other, and leaves none alone in a line', async () => {
    const page = await server.open({ as: 'admin', at: '/changes' });
    for (const width of [1920, 1280, 1024, 700]) {
      await page.setViewportSize({ width, height: 800 });
      const top = async (name: string): Promise<number> =>
        (await page.getByRole('main').getByLabel(name, { exact: true }).boundingBox())!.y;
      assert.equal(await top('Until'), await top('From'), `at ${width} pixels`);
    }
  });

  test('has no fault that axe knows, in light and dark colours, and fits 320 pixels', async () => {
    const page = await server.open({ as: 'admin', at: '/changes' });
    await page.getByText('ann@example.com').waitFor();
    await assertAccessible(page);
    await assertReflows(page);
  });
});
