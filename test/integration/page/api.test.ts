import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertAccessible, assertReflows, PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

describe('the screen of the API in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
  });
  after(() => server.stop());

  test('is found by the menu, finds a route, and tells its role, parameters, answers and how to call it', async () => {
    const page = await server.open({ as: 'viewer', at: '/changes' });
    await page.getByRole('button', { name: 'vera' }).press('Enter');
    await page.getByRole('link', { name: 'API' }).press('Enter');
    await page.getByLabel('Find a route').fill('exempt post');
    const route = page.getByText('/api/v1/exemptions', { exact: true });
    await page.getByText('/api/v1/blocks', { exact: true }).first().waitFor({ state: 'detached' });
    await route.click();
    await page.getByText('(operator)').waitFor();
    const body = await page.getByLabel('Body of post /api/v1/exemptions').textContent();
    assert.match(body!, /reason: string/);
    const curl = await page.getByLabel('curl for post /api/v1/exemptions').textContent();
    assert.match(curl!, /curl -sS -X POST 'http:\/\/127\.0\.0\.1:\d+\/api\/v1\/exemptions'/);
    await page.getByLabel('Find a route').fill('no such thing');
    await page.getByText('No route matches').waitFor();
  });

  test('has no fault that axe knows, in light and dark colours, and fits 320 pixels', async () => {
    const page = await server.open({ as: 'admin', at: '/api?q=blocks' });
    await page.getByText('/api/v1/blocks', { exact: true }).first().click();
    await page.getByText('With curl').first().waitFor();
    await assertAccessible(page);
    await assertReflows(page);
  });
});
