import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Locator, Page } from 'playwright-core';
import { assertAccessible, assertReflows, PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

const LIMITS = '/exemptions?part=limits';

describe('the screen of exemptions in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
    await exempt('news@example.com', 'weekly list');
    await exempt('list@own.example', 'own list');
    await server.api.block('shop@example.com');
    const body = { factor: 2, plan: 'large' };
    await server.api.call('PUT', '/api/v1/overrides/account/big@own.example', { body });
  });
  after(() => server.stop());

  async function exempt(value: string, reason: string): Promise<void> {
    const subject = { type: 'account', value };
    const { status } = await server.api.post('/api/v1/exemptions', { subject, reason, duration: '30d' });
    assert.equal(status, 201);
  }

  const dialog = (page: Page) => page.getByRole('dialog');

  test('exempts by keyboard alone, says that a block goes on, and releases it', async () => {
    const page = await server.open({ as: 'operator', at: '/exemptions' });
    await page.getByRole('button', { name: 'Exempt a sender' }).press('Enter');
    await page.getByLabel('Its name').fill('shop@example.com');
    await page.getByLabel('Why').fill('order mails');
    await page.getByLabel('Why').press('Enter');
    await dialog(page).getByText('is exempt, and still blocked').waitFor();
    await assertAccessible(page);
    await dialog(page).getByRole('button', { name: 'Release account shop@example.com' }).press('Enter');
    await dialog(page).getByText('released', { exact: true }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('table').getByText('shop@example.com').waitFor();
    const { text } = await server.api.get('/api/v1/blocks?value=shop@example.com&state=active');
    assert.deepEqual((JSON.parse(text) as { items: unknown[] }).items, []);
  });

  test('removes an exemption, and takes that back with its reason and end', async () => {
    const page = await server.open({ as: 'operator', at: '/exemptions' });
    const row = page.getByRole('row').filter({ hasText: 'news@example.com' });
    await row.getByRole('button', { name: 'Remove' }).press('Enter');
    await page.getByText('Rules act on account news@example.com again').waitFor();
    await row.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Undo' }).press('Enter');
    await row.getByText('weekly list').waitFor();
    await row.getByText('30d').waitFor();
  });

  async function exemptOnPage(page: Page, why: string): Promise<void> {
    await page.getByRole('button', { name: 'Exempt a sender' }).click();
    await page.getByLabel('Its name').fill('una@example.com');
    await page.getByLabel('Why').fill(why);
    await page.getByLabel('How long').selectOption('Until it is removed by hand');
    await dialog(page).getByRole('button', { name: 'Exempt', exact: true }).click();
    await dialog(page).waitFor({ state: 'detached' });
  }

  test('takes an exemption that replaced another back to that one, and offers no Undo where the same was in force', async () => {
    await exempt('una@example.com', 'contract 12');
    const page = await server.open({ as: 'operator', at: '/exemptions' });
    const row = page.getByRole('row').filter({ hasText: 'una@example.com' });
    await row.getByText('contract 12').waitFor();
    await exemptOnPage(page, 'mailing today');
    await page.getByText('Before, the reason was: contract 12').waitFor();
    await row.getByText('mailing today').waitFor();
    await page.getByRole('button', { name: 'Undo' }).click();
    await row.getByText('contract 12').waitFor();
    await row.getByText('30d').waitFor();
    await exemptOnPage(page, 'mailing today');
    await page.getByRole('button', { name: 'Undo' }).waitFor();
    await page.reload();
    await exemptOnPage(page, 'mailing today');
    await page.getByText('The very same exemption of account una@example.com was in force').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Undo' }).count(), 0);
  });

  test('shows what is wrong at its field, and keeps what was typed', async () => {
    const page = await server.open({ as: 'operator', at: '/exemptions' });
    await page.getByRole('button', { name: 'Exempt a sender' }).click();
    await page.getByLabel('Its name').fill('no address');
    await dialog(page).getByRole('button', { name: 'Exempt', exact: true }).click();
    await page.locator('input[name=reason][aria-invalid=true]').waitFor();
    await page.getByLabel('Why').fill('order mails');
    await page.getByLabel('Why').press('Enter');
    await page.locator('input[name=value][aria-invalid=true]').waitFor();
    assert.equal(await page.getByLabel('Why').inputValue(), 'order mails');
    assert.equal(await page.getByLabel('Its name').inputValue(), 'no address');
    await assertAccessible(page);
  });

  test('sets limits of one sender, says which is wrong, removes them and takes that back', async () => {
    const page = await server.open({ as: 'operator', at: LIMITS });
    await page.getByRole('button', { name: 'Set limits' }).click();
    await page.getByLabel('Its name').fill('print@example.com');
    await page.getByLabel('Times the limits of the rules').fill('3');
    await page.getByRole('button', { name: 'Add the limit of one rule' }).click();
    await page.getByLabel('Rule', { exact: true }).selectOption('day');
    await page.getByLabel('Limit, or off').fill('many');
    await dialog(page).getByRole('button', { name: 'Set', exact: true }).click();
    await page.locator('input[aria-invalid=true]').waitFor();
    assert.equal(await page.getByLabel('Limit, or off').getAttribute('aria-invalid'), 'true');
    await assertAccessible(page);
    await page.getByLabel('Limit, or off').fill('5000');
    await page.getByLabel('Limit, or off').press('Enter');
    const row = page.getByRole('row').filter({ hasText: 'print@example.com' });
    await row.getByText('3 times the limits, day 5,000').waitFor();
    await row.getByRole('button', { name: 'Remove' }).press('Enter');
    await row.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Undo' }).press('Enter');
    await row.getByText('3 times the limits, day 5,000').waitFor();
  });

  test('takes digits alone as a limit, and a decimal comma in the factor alone', async () => {
    const page = await server.open({ as: 'operator', at: LIMITS });
    await page.getByRole('button', { name: 'Set limits' }).click();
    await page.getByLabel('Its name').fill('comma@example.com');
    await page.getByLabel('Times the limits of the rules').fill('1,5');
    await page.getByRole('button', { name: 'Add the limit of one rule' }).click();
    await page.getByLabel('Rule', { exact: true }).selectOption('day');
    for (const typed of ['5,000', '2.000', '5 000', '1e3', '']) {
      await page.getByLabel('Limit, or off').fill(typed);
      const answer = page.waitForResponse(/overrides\/account/);
      await dialog(page).getByRole('button', { name: 'Set', exact: true }).click();
      assert.equal((await answer).status(), 400, typed);
      await dialog(page).getByText('must be a whole number of at least 1, or off').waitFor();
      assert.equal(await page.getByLabel('Limit, or off').getAttribute('aria-invalid'), 'true', typed);
      assert.equal(await page.getByLabel('Limit, or off').inputValue(), typed);
    }
    await page.getByLabel('Limit, or off').fill(' Off ');
    await page.getByLabel('Limit, or off').press('Enter');
    const row = page.getByRole('row').filter({ hasText: 'comma@example.com' });
    await row.getByText('1.5 times the limits, day off').waitFor();
  });

  test('refuses an end of which a part is missing, at its field, and sets nothing', async () => {
    const page = await server.open({ as: 'operator', at: LIMITS });
    let sent = 0;
    page.on('request', (request) => (sent += request.method() === 'GET' ? 0 : 1));
    const half = async (until: Locator): Promise<void> => {
      await until.focus();
      await page.keyboard.type('31122026');
      await page.keyboard.press('Enter');
      await dialog(page)
        .getByText(/^Give the day and the time(?:, or leave it empty)?\.$/)
        .waitFor();
      await page.locator('input[name=until][aria-invalid=true]').and(page.locator(':focus')).waitFor();
    };
    await page.getByRole('button', { name: 'Set limits' }).click();
    await page.getByLabel('Its name').fill('half@example.com');
    await page.getByLabel('Times the limits of the rules').fill('2');
    await half(page.getByLabel('Until (empty: for ever)'));
    await assertAccessible(page);
    await page.keyboard.press('Escape');
    await page.getByRole('link', { name: 'Exemptions' }).first().click();
    await page.getByRole('button', { name: 'Exempt a sender' }).click();
    await page.getByLabel('Its name').fill('half@example.com');
    await page.getByLabel('Why').fill('order mails');
    await page.getByLabel('How long').selectOption('Until…');
    await half(page.getByLabel('Until', { exact: true }));
    assert.equal(sent, 0);
  });

  test('sets no limits in place of those that a sender has unless one has seen them', async () => {
    const path = '/api/v1/overrides/account/gold@own.example';
    const body = { factor: 5, limits: { burst: 400 }, plan: 'gold', reason: 'contract 17' };
    await server.api.call('PUT', path, { body });
    const page = await server.open({ as: 'operator', at: LIMITS });
    await page.getByRole('button', { name: 'Set limits' }).click();
    await page.getByLabel('Its name').fill('Gold@own.example');
    await page.getByLabel('Times the limits of the rules').fill('2');
    await page.getByLabel('Plan').press('Enter');
    await dialog(page).getByText('It has limits of its own: 5 times the limits, burst 400').waitFor();
    await page.locator('input[name=value][aria-invalid=true]').waitFor();
    await assertAccessible(page);
    const { json } = await server.api.get(path);
    assert.match(JSON.stringify(json), /"limits":\{"burst":400\},"factor":5/);
    await dialog(page).getByRole('button', { name: 'Edit what it has' }).press('Enter');
    assert.equal(await page.getByLabel('Times the limits of the rules').inputValue(), '5');
    assert.equal(await page.getByLabel('Limit, or off').inputValue(), '400');
    await page.getByLabel('Times the limits of the rules').fill('6');
    await page.getByLabel('Plan').press('Enter');
    const row = page.getByRole('row').filter({ hasText: 'gold@own.example' });
    await row.getByText('6 times the limits, burst 400').waitFor();
    await row.getByText('gold: contract 17').waitFor();
  });

  test('edits the limits of a sender from what they are', async () => {
    const page = await server.open({ as: 'operator', at: LIMITS });
    const row = page.getByRole('row').filter({ hasText: 'big@own.example' });
    await row.getByRole('button', { name: 'Edit' }).click();
    assert.equal(await page.getByLabel('Plan').inputValue(), 'large');
    await page.getByLabel('Times the limits of the rules').fill('4');
    await page.getByLabel('Plan').press('Enter');
    await row.getByText('4 times the limits').waitFor();
    await row.getByText('large').waitFor();
  });

  for (const as of ['viewer', 'domain'] as const)
    test(`lets the role ${as} see, and change nothing`, async () => {
      const page = await server.open({ as, at: '/exemptions' });
      await page.getByText('list@own.example').waitFor();
      assert.equal(await page.getByText('news@example.com').count(), as === 'domain' ? 0 : 1);
      assert.equal(await page.getByRole('button', { name: /Exempt|Remove/ }).count(), 0);
      await page.getByRole('link', { name: 'Limits of their own' }).click();
      await page.getByText('big@own.example').waitFor();
      assert.equal(await page.getByRole('button', { name: /Set|Edit|Remove/ }).count(), 0);
    });

  for (const [as, whom] of [
    ['viewer', 'An operator or an administrator of this server can'],
    ['domain', 'Only those who run the mail server can'],
  ] as const)
    test(`says to the role ${as} whom to ask, and not to do what it may not`, async () => {
      const page = await server.open({ as, at: '/exemptions?type=domain' });
      await page.getByText(`${whom} exempt a sender: ask them.`).waitFor();
      assert.equal(await page.getByText('Exempt who sends much').count(), 0);
      await page.evaluate("location.hash = '/exemptions?part=limits&prefix=nobody'");
      await page.getByText(`${whom} give a sender limits of its own: ask them.`).waitFor();
    });

  test('says that it knows no past, and changes nothing then', async () => {
    const at = new Date(server.api.clock.now()).toISOString();
    const page = await server.open({ as: 'operator', at: `/exemptions?at=${at}` });
    await page.getByText('Exemptions of the past are not kept').waitFor();
    await page.getByText('news@example.com').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Remove' }).count(), 0);
    await page.getByRole('button', { name: 'Go to now' }).click();
    await page.getByRole('button', { name: 'Remove' }).first().waitFor();
  });

  test('has no fault that axe knows, in light and dark colours, and fits 320 pixels', async () => {
    for (const at of ['/exemptions', LIMITS]) {
      const page = await server.open({ as: 'admin', at });
      await page.getByRole('table').waitFor();
      await assertAccessible(page);
      await assertReflows(page);
    }
  });
});
