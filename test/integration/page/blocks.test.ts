import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  assertAccessible,
  assertReflows,
  PageServer,
  PASSWORD,
  WITHOUT_BROWSER,
} from '../../support/page/browser.js';

describe('the screen of blocks in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
    for (const name of ['ann', 'bob', 'cleo'])
      await server.api.block(`${name}@example.com`, { description: 'phished' });
    await server.api.block('eve@own.example');
  });
  after(() => server.stop());

  test('shows a sign-in, says what is wrong with it, and lets in who knows the password', async () => {
    const page = await server.open({ at: '/blocks' });
    await page.getByLabel('Name').fill('alice');
    await page.getByLabel('Password').fill('wrong');
    await page.getByLabel('Password').press('Enter');
    await page.getByRole('alert').getByText('is wrong').waitFor();
    assert.equal(await page.getByLabel('Name').inputValue(), 'alice');
    await assertAccessible(page);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('table', { name: 'Blocks' }).getByText('bob@example.com').waitFor();
  });

  test('lists what is in force, finds by text, and keeps the search in the URL', async () => {
    const page = await server.open({ as: 'viewer', at: '/blocks' });
    await page.getByText('4 blocks').waitFor();
    await page.getByLabel('Search').fill('bob');
    await page.getByText('1 block', { exact: true }).waitFor();
    assert.match(page.url(), /#\/blocks\?q=bob/);
    await page.reload();
    await page.getByText('1 block', { exact: true }).waitFor();
  });

  test('releases a block by keyboard alone, and takes the release back', async () => {
    const page = await server.open({ as: 'operator', at: '/blocks?q=ann' });
    const release = page.getByRole('button', { name: 'Release' });
    await release.focus();
    await page.keyboard.press('Enter');
    await page.getByLabel('Note').fill('called, password changed');
    await page.getByRole('dialog').getByRole('button', { name: 'Release' }).press('Enter');
    await page.getByRole('status').getByText('Released account ann@example.com').waitFor();
    await page.getByText('No block matches').waitFor();
    await page.getByRole('button', { name: 'Undo' }).press('Enter');
    await page.getByRole('table').getByText('ann@example.com').waitFor();
    const { text } = await server.api.get('/api/v1/changes?via=page&type=BlockReleased');
    const { items } = JSON.parse(text) as { items: { by: string; why: string }[] };
    assert.deepEqual([items[0]!.by, items[0]!.why], ['admin:oscar', 'called, password changed']);
  });

  test('shows the fault of a new block at its field, and keeps what was typed', async () => {
    const page = await server.open({ as: 'operator', at: '/blocks' });
    await page.getByRole('button', { name: 'Block a sender' }).click();
    await page.getByLabel('Its name').fill('no address');
    await page.getByLabel('Why').fill('seen in the logs');
    await page.getByRole('dialog').getByRole('button', { name: 'Block', exact: true }).click();
    const field = page.getByLabel('Its name');
    await page.locator('[aria-invalid=true]').waitFor();
    assert.equal(await field.getAttribute('aria-invalid'), 'true');
    assert.equal(await page.getByLabel('Why').inputValue(), 'seen in the logs');
    await assertAccessible(page);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });

  test('shows what another person does without being asked', async () => {
    const page = await server.open({ as: 'viewer', at: '/blocks' });
    await page.getByText('Live').waitFor();
    await server.api.block('late@example.com');
    await page.getByRole('table').getByText('late@example.com').waitFor();
  });

  test('shows the administrator of a domain that domain alone, without what they may not do', async () => {
    const page = await server.open({ as: 'domain', at: '/blocks' });
    await page.getByText('1 block', { exact: true }).waitFor();
    await page.getByRole('table').getByText('eve@own.example').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Block a sender' }).count(), 0);
    assert.equal(await page.getByRole('link', { name: 'Rules' }).count(), 0);
  });

  for (const scheme of ['light', 'dark'] as const)
    test(`has no fault that axe knows, in ${scheme} colours`, async () => {
      const page = await server.open({ as: 'admin', at: '/blocks', scheme });
      await page.getByRole('table').waitFor();
      await assertAccessible(page);
    });

  test('fits a screen of 320 pixels', async () => {
    const page = await server.open({ as: 'admin', at: '/blocks' });
    await page.getByRole('table').waitFor();
    await assertReflows(page);
  });
});
