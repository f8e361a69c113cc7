import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { MINUTE } from '../../../src/kernel/time.js';
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

  test('throws nothing if the colours change while it is left for a screen that is still to be loaded', async () => {
    const page = await server.open({ as: 'viewer', at: `${ACCOUNT}loud@example.com` });
    await page.locator('.chart-plot canvas').waitFor();
    const asked = new Promise<() => Promise<void>>((resolve) => {
      void page.route(/assets\/api-/, (route) => resolve(() => route.continue()));
    });
    await page.goto(`${server.api.url}#/api`);
    const goOn = await asked;
    await page.locator('.chart-plot canvas').waitFor({ state: 'hidden' });
    await page.emulateMedia({ colorScheme: 'dark' });
    await page.evaluate('new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))');
    await goOn();
    await page.getByRole('heading', { level: 1, name: 'API' }).waitFor();
  });

  test('begins its chart with the rule that blocks it, also one that counts a whole day', async () => {
    await server.api.sent('slow@example.com', 50);
    await server.api.trip('slow@example.com', 'block', 'day');
    const page = await server.open({ as: 'viewer', at: `${ACCOUNT}slow@example.com` });
    await page.getByText('limit 1,000').waitFor();
    assert.equal(await page.getByLabel('Against the rule').inputValue(), 'day');
  });

  test('says who blocked a sender that a rule had proposed to block, and which rule', async () => {
    await server.api.trip('pia@example.com');
    await server.api.block('pia@example.com');
    const page = await server.open({ as: 'viewer', at: `${ACCOUNT}pia@example.com` });
    await page.getByText('by the-admin (rule burst), left').waitFor();
  });

  test('says of mail that is to be held that it is, not that it was refused', async () => {
    await server.api.refused('hal@example.com', 'a-block', 'rcpt', 'HOLD');
    const page = await server.open({ as: 'viewer', at: `${ACCOUNT}hal@example.com` });
    const latest = page.getByRole('table', { name: 'Latest mail' });
    await latest.getByText('to be held', { exact: true }).waitFor();
    assert.doesNotMatch(await latest.innerText(), /refused|HOLD/);
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
    await dialog.getByRole('option', { name: 'Until it is removed by hand' }).waitFor({ state: 'attached' });
    await assertAccessible(page);
    await dialog.getByLabel('Why').fill('weekly list');
    await dialog.getByLabel('Why').press('Enter');
    await page.getByText('No rule acts on it: weekly list').waitFor();
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

  test('says that an exemption dismisses the proposal that waits, and that an Undo does not bring it back', async () => {
    const id = await server.api.trip('exempt@own.example');
    const page = await server.open({ as: 'operator', at: '/senders/account/exempt@own.example' });
    await page.getByRole('button', { name: 'Exempt', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('A proposal that waits for it is dismissed.').waitFor();
    await dialog.getByLabel('Why').fill('weekly list');
    await dialog.getByLabel('Why').press('Enter');
    await page
      .getByText('Exempted account exempt@own.example. The proposal that waited is dismissed.')
      .waitFor();
    assert.equal((await server.api.get(`/api/v1/blocks/${id}`)).json['state'], 'dismissed');
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('The proposal does not come back.').waitFor();
  });

  test('refuses an end of limits, and a time of what was seen, of which a part is missing', async () => {
    await server.api.sent('half@own.example', 1);
    const page = await server.open({ as: 'operator', at: '/senders/account/half@own.example' });
    const sent: string[] = [];
    page.on('request', (request) => sent.push(`${request.method()} ${request.url()}`));
    const half = async (name: string): Promise<void> => {
      const field = page.locator(`input[name=${name}]`);
      await field.focus();
      await page.keyboard.type('31122026');
      await field.press('Enter');
      await page.getByText('Give the day and the time, or leave it empty.').waitFor();
      await page.locator(`input[name=${name}][aria-invalid=true]`).and(page.locator(':focus')).waitFor();
    };
    await page.getByRole('button', { name: 'Set limits' }).click();
    await page.getByLabel('Times all limits').fill('10');
    await half('until');
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.getByLabel('What their program said').fill('535');
    await half('when');
    assert.deepEqual(
      sent.filter((one) => /^(?!GET)|[?&]said=/.test(one)),
      [],
    );
    const { json } = await server.api.get('/api/v1/overrides/account/half@own.example');
    assert.equal((json as unknown as { api: unknown }).api, null);
  });

  test('takes limits back to none where those of before were over, and brings back none that were over', async () => {
    const until = new Date(server.api.clock.now() + MINUTE).toISOString();
    const body = { factor: 3, until };
    await server.api.call('PUT', '/api/v1/overrides/account/over@example.com', { body });
    server.api.clock.advance(2 * MINUTE);
    const page = await server.open({ as: 'operator', at: `${ACCOUNT}over@example.com` });
    await page.getByText('which is over').waitFor();
    await page.getByRole('button', { name: 'Set limits' }).press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Times all limits').fill('2');
    await dialog.getByLabel('Until').fill('');
    await dialog.getByLabel('Times all limits').press('Enter');
    await page.getByRole('button', { name: 'Undo' }).press('Enter');
    await page.getByText('The limits of account over@example.com are as they were.').waitFor();
    await page.getByText('which is over').waitFor({ state: 'detached' });
    const again = new Date(server.api.clock.now() + MINUTE).toISOString();
    await server.api.call('PUT', '/api/v1/overrides/account/over@example.com', {
      body: { factor: 3, until: again },
    });
    server.api.clock.advance(2 * MINUTE);
    await page.reload();
    await page.getByText('which is over').waitFor();
    await page.getByRole('button', { name: 'Remove own limits' }).press('Enter');
    await page.getByText('Removed the own limits of account over@example.com').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Undo' }).count(), 0);
  });

  test('takes digits alone as a limit of its own, and a decimal comma in the factor alone', async () => {
    const page = await server.open({ as: 'operator', at: `${ACCOUNT}comma@example.com` });
    await page.getByRole('button', { name: 'Set limits' }).press('Enter');
    const dialog = page.getByRole('dialog');
    const limit = dialog.getByLabel(/^day \(/);
    await dialog.getByLabel('Times all limits').fill('1,5');
    for (const typed of ['5,000', '2.000', '5 000', '1e3']) {
      await limit.fill(typed);
      const answer = page.waitForResponse((response) => response.request().method() === 'PUT');
      await limit.press('Enter');
      assert.equal((await answer).status(), 400, typed);
      await dialog.getByText('must be a whole number of at least 1, or off').waitFor();
      assert.equal(await limit.getAttribute('aria-invalid'), 'true', typed);
      assert.equal(await limit.inputValue(), typed);
    }
    await limit.fill('5000');
    await limit.press('Enter');
    await page.getByText('Set by oscar').waitFor();
    const { text } = await server.api.get('/api/v1/overrides/account/comma@example.com');
    const { api } = JSON.parse(text) as { api: { limits: object; factor: number } };
    assert.deepEqual([api.limits, api.factor], [{ day: 5000 }, 1.5]);
  });

  test('says in whole sentences why no rule acts on a name with a star', async () => {
    const page = await server.open({ as: 'viewer', at: '/senders/ehlo/robot-*' });
    await page.getByText('No rule acts on it: a block of a name with a *').waitFor();
  });

  test('tells the help desk what a user saw, and whether it came from here', async () => {
    const page = await server.open({ as: 'viewer', at: `${ACCOUNT}bob@example.com` });
    await page.getByLabel('What their program said').fill('535 5.7.8 Authentication failed');
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.getByRole('heading', { name: 'It is refused' }).waitFor();
    await page.getByText(/is what block .* \(account bob@example\.com\) has the client told\./).waitFor();
    const inUtc = page.getByText(/\d{4}-\d\d-\d\dT\d\d:/);
    assert.equal(await inUtc.count(), 0, 'all times are in the zone of who looks');
    await page.getByRole('table', { name: 'What each stage is told' }).getByText('At the login').waitFor();
    await page.getByLabel('What their program said').fill('552 quota');
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.getByText('Whether Stopgap said 552 is not known here').waitFor();
    // The field must not cut off the end, where a code often is.
    await page.getByLabel('What their program said').fill(`${'x'.repeat(5000)} 552`);
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.getByText('must be at most 4,000 characters').waitFor();
    await page.getByLabel('What their program said').fill('552 quota');
    await page.getByLabel('IP address').fill('no address');
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.locator('[aria-invalid=true]').waitFor();
    assert.equal(await page.getByLabel('IP address').inputValue(), 'no address');
    await assertAccessible(page);
  });

  test('finds the block on another thing that refused an account which is not blocked itself', async () => {
    const { json: block } = await server.api.post('/api/v1/blocks', {
      subject: { type: 'ehlo', value: 'bot.example' },
      duration: '1h',
      description: 'bots',
    });
    await server.api.refused('sue@own.example', block['id'], 'auth', '535 5.7.8 Authentication failed');
    const page = await server.open({ as: 'viewer', at: `${ACCOUNT}sue@own.example` });
    await page.getByLabel('What their program said').fill('535 5.7.8 Authentication failed');
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.getByText('Stopgap told it "535').waitFor();
    await page.getByRole('link', { name: 'Open the block that the answer names first' }).press('Enter');
    await page.getByRole('heading', { level: 1, name: 'bot.example' }).waitFor();
  });

  test('says at once of a sender that is not blocked itself which other block refuses it, until that ends', async () => {
    const { json: block } = await server.api.post('/api/v1/blocks', {
      subject: { type: 'domain', value: 'attacked.example' },
      duration: '1h',
      description: 'attack',
    });
    await server.api.sent('tim@attacked.example', 1);
    for (const place of [
      'account/tim@attacked.example',
      'address/tim@sub.attacked.example',
      'domain/sub.attacked.example',
    ]) {
      const page = await server.open({ as: 'viewer', at: `/senders/${place}` });
      await page.getByText('Not blocked itself.').waitFor();
      await page.getByText(/domain attacked\.example is blocked by/).waitFor();
      assert.equal(await page.getByText('Not blocked.').count(), 0, place);
      await assertAccessible(page);
      await page.getByRole('link', { name: 'Open the block that refuses it' }).press('Enter');
      await page.getByRole('heading', { level: 1, name: 'attacked.example' }).waitFor();
    }
    const page = await server.open({ as: 'viewer', at: `${ACCOUNT}tim@attacked.example` });
    await page.getByText('Not blocked itself.').waitFor();
    await page.getByText('Live').waitFor();
    const then = new Date(server.api.clock.now()).toISOString();
    server.api.clock.advance(MINUTE);
    await server.api.post(`/api/v1/blocks/${block['id']}/release`, {});
    await page.getByText('Not blocked.').waitFor();
    const past = await server.open({ as: 'viewer', at: `${ACCOUNT}tim@attacked.example?at=${then}` });
    await past.getByText('Not blocked itself.').waitFor();
    await past.getByText(/domain attacked\.example was blocked by/).waitFor();
    assert.equal(await past.getByText('It was not blocked then,').count(), 0);
  });

  test('says of a network or an EHLO name that a block on a wider one refuses it', async () => {
    for (const [type, wide, place] of [
      ['ip', '203.0.113.0/24', 'ip/203.0.113.77'],
      ['ehlo', 'robot-*', 'ehlo/robot-7'],
    ] as const) {
      await server.api.block('', { subject: { type, value: wide } });
      const page = await server.open({ as: 'viewer', at: `/senders/${place}` });
      await page.getByText('Not blocked itself.').waitFor();
      await page.getByRole('link', { name: 'Open the block that refuses it' }).press('Enter');
      await page.getByRole('heading', { level: 1, name: wide }).waitFor();
    }
  });

  test('says at the field that what was seen needs the account that saw it', async () => {
    const page = await server.open({ as: 'viewer', at: '/senders/ip/192.0.2.7' });
    await page.getByLabel('What their program said').fill('535 5.7.8 Authentication failed');
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.getByText('needs the account whose mail program said it').waitFor();
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
      assert.equal(await page.getByText('Nothing is known').count(), 0);
      assert.equal(await page.locator('.chart').count(), 0);
      await page.getByRole('button', { name: 'Check' }).click();
      await page.getByRole('table', { name: 'What each stage is told' }).waitFor();
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

  test('does not say that a sender is not blocked while nobody can tell whether its domain is', async () => {
    const { id } = (await server.api.block('evil.example', {
      subject: { type: 'domain', value: 'evil.example' },
    })) as unknown as { id: string };
    await server.api.sent('ann@evil.example', 1);
    const page = await server.open({ as: 'operator', at: '/blocks' });
    await page.getByRole('table').waitFor();
    await page.route('**/api/v1/check?*', (route) => route.fulfill({ status: 503, body: '' }));
    await page.goto(`${server.api.url}#${ACCOUNT}ann@evil.example`);
    await page.getByText('Whether something else refuses it is not known now').waitFor();
    assert.equal(await page.getByText('Not blocked.').count(), 0);
    await assertAccessible(page);
    await server.api.post(`/api/v1/blocks/${id}/release`, {});
  });

  test('does not ask to release a later block than the one that another person has released meanwhile', async () => {
    const first = await server.api.block('zed@example.com');
    const page = await server.open({ as: 'operator', at: `${ACCOUNT}zed@example.com` });
    await page.getByText('Live').waitFor();
    await page.getByRole('button', { name: 'Release' }).click();
    await page.getByRole('dialog').waitFor();
    await server.api.post(`/api/v1/blocks/${first['id']}/release`, {});
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await server.api.block('zed@example.com', { description: 'a second thief' });
    await page.getByText('a second thief').first().waitFor();
    assert.equal(await page.getByRole('dialog').count(), 0);
    await page.getByRole('button', { name: 'Release' }).click();
    await page.getByRole('dialog').waitFor();
  });

  test('of a past instant shows what was then, and offers nothing to change', async () => {
    const at = new Date(server.api.clock.now() - 30 * MINUTE).toISOString();
    const page = await server.open({ as: 'admin', at: `${ACCOUNT}bob@example.com?at=${at}` });
    await page.getByText('It was not blocked then,').waitFor();
    assert.equal(await page.getByRole('button', { name: /Release|Exempt|Set limits/ }).count(), 0);
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.getByRole('heading', { name: 'It was not refused' }).waitFor();
    await page.getByRole('columnheader', { name: 'What the client was told' }).waitFor();
  });

  test('speaks in the past of an instant that the help desk asks for, and in its zone of one that is yet to come', async () => {
    const page = await server.open({ as: 'viewer', at: `${ACCOUNT}bob@example.com` });
    const check = async (at: number): Promise<void> => {
      // A field of this type takes the local time of the browser.
      const local = await page.evaluate((instant) => {
        const there = new Date(instant);
        return new Date(instant - there.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
      }, at);
      await page.getByLabel('When (empty: now)').fill(local);
      await page.getByRole('button', { name: 'Check' }).press('Enter');
    };
    await check(server.api.clock.now() - 30 * MINUTE);
    await page.getByRole('heading', { name: 'It was not refused' }).waitFor();
    await check(server.api.clock.now() + 30 * MINUTE);
    const fault = page.getByText('must not lie in the future');
    await fault.locator('time').waitFor();
    assert.doesNotMatch(await fault.innerText(), /T\d\d:/);
    await page.getByLabel('When (empty: now)').fill('');
    await page.getByRole('button', { name: 'Check' }).press('Enter');
    await page.getByRole('heading', { name: 'It is refused' }).waitFor();
  });

  test('says so when the chart cannot be fetched, and shows the rest', async () => {
    const page = await server.open({ as: 'viewer', at: '/blocks' });
    await page.getByRole('table').waitFor();
    await page.route('**/volume?*', (route) => route.fulfill({ status: 503, body: '' }));
    await page.goto(`${server.api.url}#${ACCOUNT}bob@example.com`);
    await page.getByRole('alert').getByText('503').waitFor();
    await page.getByRole('heading', { name: 'Limits', exact: true }).waitFor();
  });

  test('has no fault that axe knows, in light and dark colours, and fits 320 pixels', async () => {
    const page = await server.open({ as: 'admin', at: `${ACCOUNT}bob@example.com` });
    await page.locator('.chart canvas').waitFor();
    await assertAccessible(page);
    await assertReflows(page);
  });
});
