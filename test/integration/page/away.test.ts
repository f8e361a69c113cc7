import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../../support/smtp/eventually.js';
import { PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

describe('the page while the server is away, in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
    await server.api.block('ann@example.com');
  });
  after(() => server.stop());

  const ALL = [
    '/',
    '/proposals',
    '/proposals/018f0000-0000-7000-8000-00000000000a',
    '/blocks',
    '/blocks/018f0000-0000-7000-8000-00000000000a',
    '/senders/account/ann%40example.com',
    '/rules',
    '/exemptions',
    '/notices',
    '/people',
    '/changes',
    '/storage',
  ];

  for (const [how, isOffline, screens] of [
    ['where the server does not answer', false, ALL],
    ['where the browser takes itself for offline', true, ['/', '/proposals']],
  ] as const)
    test(`says on each screen, ${how}, that nothing could be read, and offers to try again`, async () => {
      const page = await server.open({ as: 'admin', at: '/api' });
      await page.getByRole('heading', { level: 1 }).waitFor();
      if (isOffline) await page.context().setOffline(true);
      else await page.route('**/api/v1/**', (route) => route.abort('connectionrefused'));
      // It is tried three times before anything is said.
      await page.clock.install();
      for (const path of screens) {
        await page.evaluate(`location.hash = '${path}'`);
        const failure = page.getByRole('alert').filter({ hasText: 'Stopgap does not answer' });
        const loading = page.getByRole('main').getByText('Loading…');
        await eventually(`${path} says so`, async () => {
          await page.clock.runFor(500);
          return (await failure.count()) > 0 && (await loading.count()) === 0;
        });
        assert.ok((await failure.getByRole('button', { name: 'Try again' }).count()) > 0, path);
      }
    });
});
