import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { assertAccessible, assertReflows, PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

const EDIT = '/rules?part=edit';
const SHADOW = '/rules?part=shadow';

describe('the screen of rules in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
    await server.api.sent('ann@example.com', 3);
  });
  after(() => server.stop());

  const source = async (): Promise<string> =>
    (JSON.parse((await server.api.get('/api/v1/rules')).text) as { source: string }).source;
  const editor = (page: Page) => page.getByRole('textbox', { name: 'The rules' });
  async function change(page: Page, from: string, to: string): Promise<void> {
    await editor(page).waitFor();
    const text = await editor(page).inputValue();
    assert.ok(text.includes(from), text);
    await editor(page).fill(text.replace(from, to));
  }

  test('says to an administrator of domains whose screen it is', async () => {
    const page = await server.open({ as: 'domain', at: '/rules' });
    await page.getByText('This is for those who run the server').waitFor();
    await page.getByRole('link', { name: 'Go to the overview' }).click();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
  });

  test('tells each rule in words', async () => {
    const page = await server.open({ as: 'viewer', at: '/rules' });
    const row = page.getByRole('row').filter({ hasText: 'burst' });
    await row.getByText('recipients of an account in 10m').waitFor();
    await row.getByText('more than 100').waitFor();
    await row.getByText('blocks for 1h, up to 7d if it comes back').waitFor();
    await page.getByText('after 20 automatic blocks in 10m, rules only propose').waitFor();
  });

  test('finds faults while one types, and leads to their lines by keyboard', async () => {
    const page = await server.open({ as: 'admin', at: EDIT });
    await change(page, 'limit: 100\n', 'limit: lots\n');
    await page.getByText('1 fault').waitFor();
    await assertAccessible(page);
    assert.equal(await page.getByRole('button', { name: 'Put in force' }).isEnabled(), false);
    await page.getByRole('button', { name: /^Line 11:/ }).press('Enter');
    const selected = await editor(page).evaluate((area: unknown) => {
      const { value, selectionStart, selectionEnd } = area as Record<string, string & number>;
      return (value as unknown as string).slice(selectionStart, selectionEnd).trim();
    });
    assert.equal(selected, 'limit: lots');
    await page.reload();
    await page.getByText('1 fault').waitFor();
    await page.getByRole('button', { name: 'Discard the changes' }).click();
    await page.getByText('in force', { exact: false }).first().waitFor();
  });

  test('puts rules in force once one has seen what changes, and takes it back', async () => {
    const before = await source();
    const page = await server.open({ as: 'admin', at: EDIT });
    await change(page, 'limit: 100\n', 'limit: 120\n');
    await page.getByText('changed and valid').waitFor();
    await page.getByRole('button', { name: 'Put in force' }).press('Enter');
    await page.getByRole('dialog').getByText('+     limit: 120').waitFor();
    await assertAccessible(page);
    await page.getByRole('dialog').getByRole('button', { name: 'Put in force' }).press('Enter');
    await page.getByText('of the rules is in force.').waitFor();
    assert.match(await source(), /limit: 120\n/);
    await page.getByRole('button', { name: 'Undo' }).press('Enter');
    await page.getByText('The rules of before are in force again').waitFor();
    assert.equal(await source(), before);
  });

  test('says who was faster, shows both, and puts one’s own in force all the same', async () => {
    const before = await source();
    const page = await server.open({ as: 'admin', at: EDIT });
    await change(page, 'limit: 100\n', 'limit: 130\n');
    await page.getByText('changed and valid').waitFor();
    const other = before.replace('limit: 1000\n', 'limit: 1100\n');
    await server.api.call('PUT', '/api/v1/rules', { body: { source: other } });
    await page.getByRole('button', { name: 'Put in force' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Put in force' }).click();
    await dialog.getByRole('alert').getByText('has put version').waitFor();
    await dialog.getByText('-     limit: 1100').waitFor();
    await dialog.getByRole('button', { name: 'Put mine in force all the same' }).click();
    await page.getByText('of the rules is in force.').waitFor();
    assert.match(await source(), /limit: 130\n[^]*limit: 1000\n/);
    await server.api.call('PUT', '/api/v1/rules', { body: { source: before } });
  });

  test('keeps with a draft what it began with, so that another’s change is told after the page is loaded again', async () => {
    const before = await source();
    const page = await server.open({ as: 'admin', at: EDIT });
    await change(page, 'limit: 100\n', 'limit: 130\n');
    await page.getByText('changed and valid').waitFor();
    const other = before.replace('limit: 1000\n', 'limit: 1100\n');
    await server.api.call('PUT', '/api/v1/rules', { body: { source: other } });
    await page.reload();
    await page.getByText('changed and valid').waitFor();
    assert.match(await editor(page).inputValue(), /limit: 130\n/);
    await page.getByText(/Version \d+ is in force since you began/).waitFor();
    await page.getByRole('button', { name: 'Put in force' }).click();
    const dialog = page.getByRole('dialog');
    // What one has changed oneself: the difference to what one began with.
    assert.equal(await dialog.getByText('limit: 1100').count(), 0);
    await dialog.getByRole('button', { name: 'Put in force' }).click();
    await dialog.getByRole('alert').getByText('has put version').waitFor();
    await dialog.getByText('-     limit: 1100').waitFor();
    assert.equal(await source(), other);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('button', { name: 'Discard the changes' }).click();
    await page.getByText(/^version \d+, in force$/).waitFor();
    assert.equal(await editor(page).inputValue(), other);
    await page.reload();
    await page.getByText(/^version \d+, in force$/).waitFor();
    assert.equal(await editor(page).inputValue(), other);
    await server.api.call('PUT', '/api/v1/rules', { body: { source: before } });
  });

  test('shows what is in force where another version of the page has left a draft in this tab', async () => {
    const page = await server.open({ as: 'admin', at: EDIT });
    for (const draft of ['version: 1\nrules: []\n', '{"draft":"version: 1"}', 'null']) {
      await page.evaluate(`sessionStorage.setItem('stopgap-rules-draft', ${JSON.stringify(draft)})`);
      await page.reload();
      await page.getByText(/^version \d+, in force$/).waitFor();
      assert.equal(await editor(page).inputValue(), await source());
    }
    await page.evaluate(`sessionStorage.removeItem('stopgap-rules-draft')`);
  });

  test('tries rules before and after on what was recorded, and tells the result in words', async () => {
    const page = await server.open({ as: 'operator', at: EDIT });
    await change(page, 'limit: 100\n', 'limit: 2\n');
    await page.getByText('changed and valid').waitFor();
    await page.getByLabel('On what was recorded').selectOption('ever');
    await page.getByRole('button', { name: 'Try before and after' }).press('Enter');
    await page.getByText('Of 1 message by 1 sender: before, 0 blocks').waitFor();
    await page.getByRole('table', { name: 'Before and after' }).getByText('Messages stopped').waitFor();
    await page.getByText('Only the new rules stop: 1 case').click();
    await page.getByRole('link', { name: 'ann@example.com' }).waitFor();
    await assertAccessible(page);
    const other = page.getByText('The rules above have changed since: this result is not of them.');
    assert.equal(await other.count(), 0);
    await change(page, 'limit: 2\n', 'limit: 3\n');
    await other.waitFor();
    await change(page, 'limit: 3\n', 'limit: 2\n');
    await other.waitFor({ state: 'detached' });
    await page.reload();
    await page.getByText('This result may be of other rules than those above.').waitFor();
    await assertAccessible(page);
  });

  test('calls nothing stopped that rules only propose, whether one tries them alone or before and after', async () => {
    const before = await source();
    const proposing = before.replace('limit: 1000\n', 'limit: 2\n');
    await server.api.call('PUT', '/api/v1/rules', { body: { source: proposing } });
    const page = await server.open({ as: 'operator', at: EDIT });
    const summaries = async (): Promise<readonly string[]> =>
      (await page.locator('.backtest summary').allInnerTexts()).slice(1);
    await page.getByLabel('On what was recorded').selectOption('ever');
    await page.getByRole('button', { name: 'Try the rules in force' }).press('Enter');
    await page.getByText('Of 1 message by 1 sender: 0 blocks and 1 proposal,').waitFor();
    assert.deepEqual(await summaries(), ['Whom it would only have proposed to stop: 1 case']);
    await change(page, 'limit: 2\n', 'limit: 2 # as before\n');
    await page.getByText('changed and valid').waitFor();
    await page.getByRole('button', { name: 'Try before and after' }).press('Enter');
    await page.getByText('before, 0 blocks and 1 proposal, 0 messages stopped; after, 0 blocks').waitFor();
    assert.deepEqual(await summaries(), [
      'The new rules only propose to stop: 1 case',
      'The rules of before only propose to stop: 1 case',
    ]);
    await page.getByText('The new rules only propose to stop: 1 case').click();
    await page.getByRole('link', { name: 'ann@example.com' }).waitFor();
    await assertAccessible(page);
    await server.api.call('PUT', '/api/v1/rules', { body: { source: before } });
  });

  test('says how many cases its lists leave out', async () => {
    const page = await server.open({ as: 'operator', at: EDIT });
    await page.route('**/api/v1/backtests/*', async (route) => {
      const response = await route.fetch();
      const json = (await response.json()) as { report: { candidates: { casesLeftOut: number }[] } | null };
      for (const candidate of json.report?.candidates ?? []) candidate.casesLeftOut = 7;
      await route.fulfill({ response, json });
    });
    await page.getByRole('button', { name: 'Try the rules in force' }).press('Enter');
    await page.getByText('The lists leave out 7 cases.').waitFor();
  });

  test('runs rules in the shadow, puts them in force, and removes a shadow', async () => {
    const before = await source();
    const page = await server.open({ as: 'admin', at: SHADOW });
    await page.getByText('No rules run in the shadow').waitFor();
    await page.getByRole('link', { name: /Change the rules, then/ }).click();
    await change(page, 'limit: 100\n', 'limit: 140\n');
    await page.getByText('changed and valid').waitFor();
    await page.getByRole('button', { name: 'Run in the shadow' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Run in the shadow' }).press('Enter');
    await page.getByText('The rules run in the shadow.').waitFor();
    await page.getByRole('link', { name: 'Shadow' }).click();
    await page.getByText('Neither has acted yet').waitFor();
    await page.getByText('+     limit: 140').waitFor();
    await assertAccessible(page);
    await assertReflows(page);
    await page.getByRole('button', { name: 'Put in force' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Put in force' }).press('Enter');
    await page.getByText('of the rules is in force.').waitFor();
    assert.match(await source(), /limit: 140\n/);
    await page.getByText('No rules run in the shadow').waitFor();
    await server.api.call('PUT', '/api/v1/rules/shadow', { body: { source: before } });
    await page.getByRole('button', { name: 'Remove' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).press('Enter');
    await page.getByText('No rules run in the shadow').waitFor();
    await server.api.call('PUT', '/api/v1/rules', { body: { source: before } });
  });

  test('lets an operator try, and a viewer only read', async () => {
    const operator = await server.open({ as: 'operator', at: EDIT });
    await operator.getByRole('button', { name: 'Try the rules in force' }).waitFor();
    assert.equal(await operator.getByRole('button', { name: 'Put in force' }).count(), 0);
    const viewer = await server.open({ as: 'viewer', at: EDIT });
    await editor(viewer).waitFor();
    assert.equal(await editor(viewer).isEditable(), false);
    assert.equal(await viewer.getByRole('button', { name: /Try|Put|shadow/ }).count(), 0);
  });

  test('says that the server fails, and tries again when asked', async () => {
    const page = await server.open({ as: 'viewer', at: '/changes' });
    const body = JSON.stringify({ status: 503, code: 'unavailable', detail: 'the store does not answer' });
    const answer = { status: 503, contentType: 'application/problem+json', body };
    await page.route('**/api/v1/rules', (route) => route.fulfill(answer));
    await page.getByRole('link', { name: 'Rules' }).click();
    await page.getByRole('alert').getByText('the store does not answer').waitFor();
    await page.unroute('**/api/v1/rules');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByRole('row').filter({ hasText: 'burst' }).waitFor();
  });

  test('has no fault that axe knows, in light and dark colours, and fits 320 pixels', async () => {
    for (const at of ['/rules', EDIT]) {
      const page = await server.open({ as: 'admin', at });
      await page.getByRole(at === EDIT ? 'textbox' : 'table', { name: /rules/i }).waitFor();
      await assertAccessible(page);
      await assertReflows(page);
    }
  });
});
