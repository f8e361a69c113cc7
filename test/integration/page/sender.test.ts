import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { sendStream } from '../../../src/sending/events.js';
import { assertAccessible, assertReflows, PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

const ACCOUNT = '/senders/account/';

describe('the screen of a sender in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
    for (const recipients of [10, 30, 20]) await server.api.sent('bob@example.com', recipients);
    await server.api.sent('eve@own.example', 2);
    await server.api.block('bob@example.com', { description: 'phished' });
    await server.api.trip('pat@example.com');
    server.api.clock.advance(MINUTE);
  });
  after(() => server.stop());

  test('shows that it is blocked and why, draws what it sent, and has the same as a table', async () => {
    const page = await server.open({ as: 'viewer', at: `${ACCOUNT}bob@example.com` });
    await page.getByText('Blocked', { exact: true }).waitFor();
    await page.getByRole('link', { name: 'phished' }).first().waitFor();
    await page
      .getByRole('img', { name: /Chart of what bob@example.com sent: 60 recipients in all/ })
      .waitFor();
    await page.locator('.chart canvas').waitFor();
    await page.getByText('The same as a table').press('Enter');
    const table = page.getByRole('region', { name: 'What was sent, as a table' });
    await table.getByRole('cell', { name: '60' }).first().waitFor();
    assert.equal(await page.getByRole('button', { name: /Release|Exempt|Set limits/ }).count(), 0);
    await page.getByLabel('Time').selectOption('6 hours');
    await page.waitForURL(/span=6h/);
    await assertAccessible(page);
  });

  test('is released, exempted and exempted no more by keyboard alone', async () => {
    await server.api.block('kim@example.com', { description: 'phished' });
    const page = await server.open({ as: 'operator', at: `${ACCOUNT}kim@example.com` });
    await page.getByRole('button', { name: 'Release' }).press('Enter');
    await page.getByRole('dialog').getByRole('button', { name: 'Release' }).press('Enter');
    await page.getByText('Not blocked.').waitFor();
    await page.getByRole('button', { name: 'Exempt' }).press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Exempt' }).press('Enter');
    await dialog.locator('[aria-invalid=true]').waitFor();
    await assertAccessible(page);
    await dialog.getByLabel('Why').fill('weekly list');
    await dialog.getByLabel('Why').press('Enter');
    await page.getByText('no rule acts on it. weekly list').waitFor();
    await page.getByRole('button', { name: 'Undo' }).last().press('Enter');
    await page.getByText('Not blocked.').waitFor();
  });

  test('gets limits of its own, keeps what was typed where it is wrong, and loses them again', async () => {
    const page = await server.open({ as: 'operator', at: `${ACCOUNT}own@example.com` });
    await page.getByText("The rules' own limits hold").waitFor();
    await page.getByRole('button', { name: 'Set limits' }).press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Times all limits').fill('1000');
    await dialog.getByLabel('Why').fill('a shop');
    await dialog.getByRole('button', { name: 'Set' }).press('Enter');
    await dialog.getByText('must be at most 100').waitFor();
    assert.equal(await dialog.getByLabel('Why').inputValue(), 'a shop');
    await assertAccessible(page);
    await dialog.getByLabel('Times all limits').fill('2');
    await dialog.getByLabel('Times all limits').press('Enter');
    await page.getByText('Set by oscar').waitFor();
    await page.getByRole('button', { name: 'Remove own limits' }).press('Enter');
    await page.getByText("The rules' own limits hold").waitFor();
    await page.getByRole('button', { name: 'Undo' }).last().press('Enter');
    await page.getByText('Set by oscar').waitFor();
  });

  test('tells the help desk who said what a user saw, and leads to the block behind it', async () => {
    const { id } = await server.api.block('', { subject: { type: 'ehlo', value: 'pc-1.example' } });
    const at = server.api.clock.now();
    const said = { direction: 'outbound', stage: 'rcpt', reply: '451 4.3.2 Try again later', count: 1 };
    const data = { ...said, account: 'bob@example.com', block: id, since: at };
    const event = { id: newId(), type: 'MessageRefused', at, by: 'smtp:test', data };
    await server.api.deps.store.append(sendStream('bob@example.com'), [event], 'any');
    await server.api.post(`/api/v1/blocks/${id}/release`, {});
    const page = await server.open({ as: 'viewer', at: `${ACCOUNT}bob@example.com` });
    await page.getByLabel('What their program said').fill('Server error: 451 4.3.2 Try again later');
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.getByRole('heading', { name: 'It is refused' }).waitFor();
    await page.getByText(/^Stopgap said that, at RCPT TO at .*ehlo pc-1\.example/).waitFor();
    const leads = await page.getByRole('link', { name: 'Open the block that said it' }).getAttribute('href');
    assert.equal(leads, `#/blocks/${id}`);
    await page.getByRole('region', { name: 'What each stage is told' }).getByText('At the login').waitFor();
    await page.getByLabel('What their program said').fill('552 quota');
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.getByText(/^Nothing here said 552 to this account/).waitFor();
    await page.getByRole('textbox', { name: 'Account' }).fill('');
    await page.getByLabel('Return path').fill('bob@example.com');
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.getByText('needs the account whose mail program said it').waitFor();
    await page.getByRole('textbox', { name: 'Account' }).fill('bob@example.com');
    await page.getByLabel('IP address').fill('no address');
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.locator('[aria-invalid=true]').waitFor();
    assert.equal(await page.getByLabel('IP address').inputValue(), 'no address');
    await assertAccessible(page);
  });

  test('lets a proposal be dismissed, and another person sees it', async () => {
    const watching = await server.open({ as: 'viewer', at: `${ACCOUNT}pat@example.com` });
    await watching.getByText('A proposal to block it waits').waitFor();
    await watching.getByText('Live').waitFor();
    const page = await server.open({ as: 'operator', at: `${ACCOUNT}pat@example.com` });
    await page.getByRole('button', { name: 'Dismiss' }).press('Enter');
    await page.getByRole('dialog').getByRole('button', { name: 'Dismiss' }).press('Enter');
    await page.getByText('Not blocked.').waitFor();
    await watching.getByText('Not blocked.').waitFor();
  });

  for (const [type, value] of [
    ['ip', '192.0.2.7'],
    ['ehlo', 'laptop.example'],
    ['domain', 'example.com'],
    ['address', 'bob@example.com'],
  ] as const)
    test(`shows what is no account, as the ${type} ${value}, and what is not kept of it`, async () => {
      const page = await server.open({ as: 'admin', at: `/senders/${type}/${value}` });
      await page.getByRole('heading', { name: 'Limits', exact: true }).waitFor();
      await page.getByText('kept by account').waitFor();
      assert.equal(await page.locator('.chart').count(), 0);
      await page.getByRole('button', { name: 'Check' }).click();
      await page.getByRole('region', { name: 'What each stage is told' }).waitFor();
      assert.equal(await page.getByRole('button', { name: 'Set limits' }).count(), type === 'domain' ? 1 : 0);
      await assertReflows(page);
    });

  test('is found by its name, and a network by its slash', async () => {
    const page = await server.open({ as: 'viewer' });
    await page.getByRole('searchbox').waitFor();
    for (const name of ['bob@example.com', '192.0.2.0/24']) {
      await page.keyboard.press('/');
      await page.keyboard.type(name);
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { name, level: 1 }).waitFor();
    }
    await page.getByText('kept by account').waitFor();
  });

  test('says that nothing is known of a sender that nobody has seen, and what is no sender at all', async () => {
    const page = await server.open({ as: 'admin', at: `${ACCOUNT}nobody@example.com` });
    await page.getByText('Nothing is known of nobody@example.com').waitFor();
    await page.getByRole('button', { name: 'Block', exact: true }).waitFor();
    await page.goto(`${server.api.url}#/senders/planet/mars`);
    await page.getByRole('alert').waitFor();
  });

  test('of a domain lets its administrator see it, and hides what is foreign', async () => {
    const page = await server.open({ as: 'domain', at: `${ACCOUNT}eve@own.example` });
    await page.getByText('Not blocked.').waitFor();
    assert.equal(await page.getByRole('button', { name: /^(Block|Exempt|Set limits)$/ }).count(), 0);
    await page.goto(`${server.api.url}#${ACCOUNT}bob@example.com`);
    await page.getByRole('alert').getByText('in your domains').waitFor();
  });

  test('of a past instant shows what was then, and offers nothing to change', async () => {
    const at = new Date(server.api.clock.now() - 30 * MINUTE).toISOString();
    const page = await server.open({ as: 'admin', at: `${ACCOUNT}bob@example.com?at=${at}` });
    await page.getByText('It was not blocked then,').waitFor();
    assert.equal(await page.getByRole('button', { name: /Release|Exempt|Set limits/ }).count(), 0);
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.getByRole('heading', { name: 'It is not refused' }).waitFor();
  });

  test('says so when the chart cannot be fetched, and shows the rest', async () => {
    const page = await server.open({ as: 'viewer', at: '/blocks' });
    await page.getByRole('table').waitFor();
    await page.route('**/volume?*', (route) => route.fulfill({ status: 503, body: '' }));
    await page.goto(`${server.api.url}#${ACCOUNT}bob@example.com`);
    await page.getByRole('alert').getByText('503').waitFor();
    await page.getByRole('heading', { name: 'Limits', exact: true }).waitFor();
  });

  for (const scheme of ['light', 'dark'] as const)
    test(`has no fault that axe knows, in ${scheme} colours, and fits 320 pixels`, async () => {
      const page = await server.open({ as: 'admin', at: `${ACCOUNT}bob@example.com`, scheme });
      await page.locator('.chart canvas').waitFor();
      await assertAccessible(page);
      await assertReflows(page);
    });
});
