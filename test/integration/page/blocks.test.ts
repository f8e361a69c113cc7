import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { blockStream } from '../../../src/blocks/events.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { eventually } from '../../support/smtp/eventually.js';
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

  async function selectAll(page: Page, count: number): Promise<void> {
    for (let row = 1; row <= count; row++)
      await page.getByRole('checkbox', { name: `Select row ${row}`, exact: true }).click();
    await page.getByText(`${count} selected`).waitFor();
  }

  /** Blocks of people, written at once. */
  async function blockMany(count: number): Promise<void> {
    const { deps, clock } = server.api;
    const until = clock.now() + HOUR;
    const append = (n: number): Promise<{ position: number }> => {
      const subject = { type: 'account', value: `bulk${n}@example.com` } as const;
      const terms = { subject, direction: 'outbound', refusal: 'soft', renewWhileTrying: false };
      const data = { block: newId(), ...terms, origin: 'admin', description: 'one of many', until };
      const event = { id: newId(), type: 'BlockImposed', at: clock.now(), by: 'admin:alice', data };
      return deps.store.append(blockStream(subject), [event], 'none');
    };
    let last = 0;
    for (let first = 0; first < count; first += 20) {
      const some = Array.from({ length: Math.min(20, count - first) }, (_, n) => append(first + n));
      last = Math.max(last, ...(await Promise.all(some)).map(({ position }) => position));
    }
    await deps.models.reached(last);
  }

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

  test('says with Undo of a release what it cannot take back', async () => {
    const block = await server.api.trip('una@example.com', 'block');
    await server.api.held(block, 'una@example.com', 1);
    const page = await server.open({ as: 'operator', at: '/blocks?q=una' });
    await page.getByRole('button', { name: 'Release' }).press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Mail that is held (1 message)').selectOption('Deliver it');
    await dialog.getByLabel('The rule was wrong').check();
    await dialog.getByRole('button', { name: 'Release' }).press('Enter');
    await page.getByRole('button', { name: 'Undo' }).press('Enter');
    const said = page.getByText('Blocked account una@example.com again.');
    await said.waitFor();
    assert.match(await said.innerText(), /What was sent stays usual.*Mail that was held does not come back/);
  });

  test('says that another block still refuses whom one releases, and which', async () => {
    await server.api.block('fay@twice.example');
    await server.api.block('', { subject: { type: 'domain', value: 'twice.example' } });
    const page = await server.open({ as: 'operator', at: '/blocks?q=fay' });
    await page.getByRole('button', { name: 'Release' }).press('Enter');
    await page.getByRole('dialog').getByRole('button', { name: 'Release' }).press('Enter');
    await page.getByText('Released account fay@twice.example').waitFor();
    await page
      .getByText(
        'fay@twice.example is still refused. This sender is refused: domain twice.example is blocked',
      )
      .waitFor();
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

  async function blockOnPage(page: Page, name: string): Promise<void> {
    await page.getByRole('button', { name: 'Block a sender' }).click();
    await page.getByLabel('Its name').fill(name);
    await page.getByLabel('How long').selectOption('24 hours');
    await page.getByRole('dialog').getByRole('button', { name: 'Block', exact: true }).click();
  }

  test('offers no Undo where a block was in force already, which keeps what nobody has said anew', async () => {
    const { id } = await server.api.block('gil@example.com', { refusal: 'hold', description: 'phished' });
    const page = await server.open({ as: 'operator', at: '/blocks' });
    await blockOnPage(page, 'gil@example.com');
    await page.getByText('A block of account gil@example.com was in force already').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Undo' }).count(), 0);
    const { json } = await server.api.get(`/api/v1/blocks/${String(id)}`);
    const { refusal, description, duration } = json;
    assert.deepEqual([refusal, description, duration], ['hold', 'phished', '24h']);
  });

  test('takes a new block back, and says that a proposal that it answered does not come back', async () => {
    await server.api.trip('pia@example.com');
    const page = await server.open({ as: 'operator', at: '/blocks' });
    for (const [name, left] of [
      ['ned@example.com', ''],
      ['pia@example.com', ' The proposal does not come back.'],
    ] as const) {
      await blockOnPage(page, name);
      await page.getByText(`Blocked account ${name}.`).waitFor();
      await page.getByRole('button', { name: 'Undo' }).click();
      await page.getByText(`Released account ${name}.${left}`, { exact: true }).waitFor();
    }
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

  test('filters by rule, origin and direction, and exports what is filtered', async () => {
    await server.api.trip('ruled@example.com', 'block');
    const page = await server.open({ as: 'operator', at: '/blocks' });
    await page.getByLabel('Asked for by').selectOption('rule');
    await page.getByText('1 block', { exact: true }).waitFor();
    await page.getByLabel('Rule', { exact: true }).selectOption('burst');
    await page.getByLabel('Mail', { exact: true }).selectOption('outbound');
    await page.getByRole('link', { name: 'ruled@example.com', exact: true }).waitFor();
    assert.match(page.url(), /origin=rule&rule=burst&direction=outbound/);
    const download = page.waitForEvent('download');
    await page.getByRole('link', { name: 'Export CSV' }).click();
    const file = await (await download).path();
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    assert.equal(lines.length, 2);
    assert.match(lines[1]!, /ruled@example\.com/);
  });

  test('cuts nothing off: a row is one line where there is room, a card where there is not', async () => {
    const page = await server.open({ as: 'operator', at: '/blocks?q=bob' });
    const table = page.getByRole('table', { name: 'Blocks' });
    const release = table.getByRole('button', { name: 'Release' });
    for (const width of [1920, 1280, 1024, 700, 400]) {
      await page.setViewportSize({ width, height: 800 });
      await release.waitFor();
      // Rows become cards a moment after the window has changed.
      await eventually(`the action is in sight at ${width} pixels`, async () => {
        const box = (await release.boundingBox())!;
        return box.x >= 0 && box.x + box.width <= width;
      });
      const row = (await table.getByRole('row').filter({ hasText: 'bob@example.com' }).boundingBox())!;
      assert.equal(row.height < 45, width >= 1280, `${row.height} pixels high at ${width}`);
    }
  });

  test('says first why a rule blocked, in numbers, and cuts off neither that nor when it ends', async () => {
    await server.api.trip('loud@example.com', 'block');
    await server.api.post('/api/v1/blocks', {
      subject: { type: 'account', value: 'loud-too@example.com' },
      indefinite: true,
    });
    server.api.clock.advance(20 * MINUTE + 16 * SECOND);
    const page = await server.open({ as: 'operator', at: '/blocks?q=loud' });
    const table = page.getByRole('table', { name: 'Blocks' });
    await table.getByText(/^\d+ (?:recipients|messages) within \S+; allows /).waitFor();
    await table.getByText('until released').waitFor();
    // A string: it runs in the browser, whose types are not those of the tests.
    const cut = `[...document.querySelectorAll('.rows-body .cell')]
      .filter((cell) => ['State', 'By', 'Since', 'Left', 'Refused'].includes(cell.dataset.title))
      .filter((cell) => cell.scrollWidth > cell.clientWidth)
      .map((cell) => cell.textContent)`;
    assert.deepEqual(await page.evaluate<string[]>(cut), []);
    await server.api.trip('loud-later@example.com');
    server.api.clock.advance(9 * MINUTE);
    await page.clock.setFixedTime(server.api.clock.now());
    await page.getByLabel('State').selectOption('all');
    await table.getByText('waits for you').waitFor();
    assert.deepEqual(await page.evaluate<string[]>(cut), []);
  });

  test('shows what is now where the place names no instant', async () => {
    const page = await server.open({ as: 'operator', at: '/blocks?at=yesterday' });
    await page.getByRole('link', { name: 'cleo@example.com' }).waitFor();
    await page.getByRole('button', { name: 'As of now' }).waitFor();
  });

  test('selects with Shift from the row that was selected last, also where others have come before it', async () => {
    const { api } = server;
    const names = ['ra', 'rb', 'rc'].map((name) => `${name}@range.example`);
    for (const name of names) await api.block(name);
    const page = await server.open({ as: 'operator', at: '/blocks?q=range.example&sort=subject' });
    await page.getByText('Live').waitFor();
    const row = (name: string) => page.getByRole('row').filter({ hasText: name });
    await row('rb@').getByRole('checkbox').click();
    for (const name of ['a', 'b', 'c']) await api.block(`${name}@range.example`);
    await page.getByText('6 blocks').waitFor();
    await row('rc@')
      .getByRole('checkbox')
      .click({ modifiers: ['Shift'] });
    await page.getByText('2 selected').waitFor();
    for (const name of ['rb@', 'rc@']) assert.ok(await row(name).getByRole('checkbox').isChecked());
  });

  test('selects nothing any more once all that matched a search were selected and the search is another', async () => {
    for (const name of ['one', 'two']) await server.api.block(`${name}@wide.example`);
    const page = await server.open({ as: 'operator', at: '/blocks?q=wide.example' });
    await page.getByText('2 blocks').waitFor();
    await page.getByRole('checkbox', { name: 'Select row 1', exact: true }).click();
    await page.getByRole('button', { name: 'Select all 2 matching' }).click();
    await page.getByText('All 2 matching selected').waitFor();
    await page.getByLabel('Search', { exact: true }).fill('example');
    await page.getByRole('link', { name: 'cleo@example.com' }).waitFor();
    assert.equal(await page.getByRole('region', { name: 'What is selected' }).count(), 0);
  });

  test('releases all that match, also those that are not loaded, and lists what was released already', async () => {
    await blockMany(260);
    const page = await server.open({ as: 'operator', at: '/blocks?q=bulk' });
    await page.getByText('260 blocks').waitFor();
    // Nothing has the focus: the first key leads into the list.
    await page.keyboard.press('j');
    await page.locator('[data-index="0"]:focus').waitFor();
    await page.keyboard.press('x');
    await page.getByText('1 selected').waitFor();
    await page.getByRole('button', { name: 'Select all 260 matching' }).press('Enter');
    await page.getByText('All 260 matching selected').waitFor();
    await page.getByRole('button', { name: 'Release them' }).press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Note').fill('one customer');
    await page.route(
      '**/blocks/actions',
      async (route) => {
        const { ids } = route.request().postDataJSON() as { ids: string[] };
        await server.api.post(`/api/v1/blocks/${ids[7]}/release`, {});
        await route.continue();
      },
      { times: 1 },
    );
    await dialog.getByRole('button', { name: 'Release 260 blocks' }).press('Enter');
    await dialog.getByText('259 released, 1 decided already.').waitFor();
    const early = dialog.getByRole('row').filter({ hasText: 'account bulk252@example.com' });
    await early.getByText('released already, by').waitFor();
    await assertAccessible(page);
    await dialog.getByRole('button', { name: 'Close' }).press('Enter');
    await page.getByText('No block matches').waitFor();
  });

  test('names in the results of many also whom a colleague has released since they were selected', async () => {
    const early = await server.api.block('vera@example.com', { description: 'two of vera' });
    await server.api.block('vivian@example.com', { description: 'two of vera' });
    const page = await server.open({ as: 'operator', at: '/blocks?q=two+of+vera' });
    await selectAll(page, 2);
    await server.api.post(`/api/v1/blocks/${early['id']}/release`, {});
    await page.getByText('1 block', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Release them' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Release 2 blocks' }).click();
    await dialog.getByText('1 released, 1 decided already.').waitFor();
    const row = dialog.getByRole('row').filter({ hasText: 'account vera@example.com' });
    await row.getByText('released already, by').waitFor();
  });

  test('says before a release of many how much mail is held for them, and that it stays on hold', async () => {
    const ids = await Promise.all(
      ['wim', 'wolf', 'wynn'].map((name) => server.api.trip(`${name}@example.com`, 'block', 'weekly')),
    );
    await server.api.held(ids[0]!, 'wim@example.com', 3);
    await server.api.held(ids[2]!, 'wynn@example.com', 1);
    const page = await server.open({ as: 'operator', at: '/blocks?rule=weekly' });
    await selectAll(page, 3);
    await page.getByRole('button', { name: 'Release them' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('4 messages are held for 2 of these blocks. What nobody has decided on').waitFor();
    await assertAccessible(page);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    // The mail of one block was let go meanwhile.
    await server.api.post(`/api/v1/blocks/${ids[0]}/release`, {});
    await page.getByText('2 blocks', { exact: true }).waitFor();
    await page.reload();
    await selectAll(page, 2);
    await page.route('**/api/v1/blocks/*/held*', (route) => route.abort());
    await page.getByRole('button', { name: 'Release them' }).click();
    await dialog.getByText('How much mail is held for these blocks is not known here.').waitFor();
    await page.unroute('**/api/v1/blocks/*/held*');
  });

  test('has no fault that axe knows, in light and dark colours', async () => {
    const page = await server.open({ as: 'admin', at: '/blocks' });
    await page.getByRole('table').waitFor();
    await assertAccessible(page);
  });

  test('fits a screen of 320 pixels', async () => {
    const page = await server.open({ as: 'admin', at: '/blocks' });
    await page.getByRole('table').waitFor();
    await assertReflows(page);
  });
});

test(
  'the list of blocks counts what was left from the past instant that is shown',
  { skip: WITHOUT_BROWSER },
  async () => {
    const server = await PageServer.start();
    await server.api.block('past@example.com', { duration: '1h' });
    const at = new Date(server.api.clock.now()).toISOString();
    server.api.clock.advance(HOUR / 2);
    const page = await server.open({ as: 'viewer', at: `/blocks?at=${at}` });
    const row = page.getByRole('row').filter({ hasText: 'past@example.com' });
    await row.getByText('1h', { exact: true }).waitFor();
    await row.getByText('just now').waitFor();
    server.api.clock.advance(HOUR);
    await page.context().clock.setFixedTime(server.api.clock.now());
    await page.reload();
    await row.getByText('1h', { exact: true }).waitFor();
    await server.stop();
  },
);
