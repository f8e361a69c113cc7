import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertAccessible, assertReflows, PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

describe('the screen of what is stored in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
    for (const account of ['anna@example.com', 'carl@example.com']) await server.api.sent(account, 3);
  });
  after(() => server.stop());

  test('says by category how long it is kept, how much it is, and what the disk has left', async () => {
    const page = await server.open({ as: 'viewer', at: '/' });
    await page.getByRole('button', { name: 'vera' }).press('Enter');
    await page.getByRole('link', { name: 'Storage' }).press('Enter');
    await page.getByRole('heading', { name: 'Storage', level: 1 }).waitFor();
    const sends = page.getByRole('row').filter({ hasText: 'Sends, refusals and bounces' });
    await sends.getByText('5 weeks').waitFor();
    const blocks = page.getByRole('row').filter({ hasText: 'Blocks, proposals' });
    await blocks.getByText('for ever').waitFor();
    await page.getByText('The disk has left').waitFor();
    await page.getByText(/used again first. More than a tenth is given back/).waitFor();
    assert.equal(await page.getByRole('heading', { name: 'Forget a person' }).count(), 0, 'for admins only');
  });

  test('forgets a person by keyboard alone, once it is confirmed, and says what is still to be done', async () => {
    const page = await server.open({ as: 'admin', at: '/senders/account/anna@example.com' });
    await page.getByRole('link', { name: 'Forget this person' }).press('Enter');
    const name = page.getByLabel('Account or address');
    await name.waitFor();
    assert.equal(await name.inputValue(), 'anna@example.com');
    await name.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Forget anna@example.com for ever?' });
    await dialog.getByText('This goes:').waitFor();
    await dialog.getByText('This stays, under a random name:').waitFor();
    await assertAccessible(page);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    assert.equal(await name.inputValue(), 'anna@example.com', 'it was called off');
    await name.press('Enter');
    await dialog.getByRole('button', { name: 'Erase for ever' }).press('Enter');
    const result = page.getByRole('status').filter({ hasText: 'They are forgotten' });
    await result.getByText(/1 event erased, 0 events kept without the name, as forgotten-/).waitFor();
    await result.getByText(/^Backups, the log and the journal/).waitFor();
    assert.equal(await name.inputValue(), '');
    assert.doesNotMatch(page.url(), /anna/);
    await page.locator(':focus').getByText('They are forgotten').waitFor();
    await assertAccessible(page);
    await page.getByRole('link', { name: 'Changes' }).press('Enter');
    await page.getByText('Forgot a person').waitFor();
  });

  test('leads to the block that is in the way, and keeps what was typed', async () => {
    const block = await server.api.block('carl@example.com');
    const page = await server.open({ as: 'admin', at: '/storage' });
    const name = page.getByLabel('Account or address');
    await name.fill('carl@example.com');
    await name.press('Enter');
    await page.getByRole('button', { name: 'Erase for ever' }).press('Enter');
    await page.getByRole('alert').getByText('release it first').waitFor();
    assert.equal(await name.inputValue(), 'carl@example.com');
    await page.getByRole('link', { name: 'Open what is in the way' }).press('Enter');
    await page.waitForURL(new RegExp(`#/blocks/${block.id}`));
  });

  test('says at the field what is wrong with an address', async () => {
    const page = await server.open({ as: 'admin', at: '/storage' });
    const name = page.getByLabel('Account or address');
    await name.press('Enter');
    await page.locator('[aria-invalid=true]').waitFor();
    assert.equal(await page.getByRole('dialog').count(), 0);
    await name.fill('*@example.com');
    await page.getByLabel('It is').selectOption('an address only');
    await name.press('Enter');
    await page.getByRole('button', { name: 'Erase for ever' }).press('Enter');
    await page.getByText('one person at a time').waitFor();
    assert.equal(await name.inputValue(), '*@example.com');
  });

  test('says what to do where free space stays in the file, and where KurrentDB keeps it', async () => {
    const page = await server.open({ as: 'viewer', at: '/changes' });
    let change: object = { givesBack: false };
    await page.route('**/api/v1/storage', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...((await response.json()) as object), ...change } });
    });
    await page.goto(page.url().replace('/changes', '/storage'));
    await page.getByText('stopgap storage compact').waitFor();
    change = { bytes: null, reclaimable: null, free: null };
    await page.reload();
    await page.getByText('A scavenge gives back').waitFor();
  });

  test('says that the server fails, and tries again when asked', async () => {
    const page = await server.open({ as: 'viewer', at: '/changes' });
    let isFailing = true;
    await page.route('**/api/v1/storage', (route) =>
      isFailing ? route.fulfill({ status: 503, body: '' }) : route.fallback(),
    );
    await page.goto(page.url().replace('/changes', '/storage'));
    await page.getByRole('alert').waitFor();
    isFailing = false;
    await page.getByRole('button', { name: 'Try again' }).press('Enter');
    await page.getByText('The disk has left').waitFor();
  });

  test('is not offered to the administrator of a domain, and says why where they come by its address', async () => {
    const page = await server.open({ as: 'domain', at: '/storage' });
    await page.getByText('What is stored is of the whole server').waitFor();
    assert.equal(await page.getByRole('link', { name: 'Storage', includeHidden: true }).count(), 0);
  });

  test('has no fault that axe knows, in light and dark colours, and fits 320 pixels', async () => {
    const page = await server.open({ as: 'admin', at: '/storage' });
    await page.getByText('The disk has left').waitFor();
    await assertAccessible(page);
    await assertReflows(page);
  });
});
