import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { MINUTE } from '../../../src/kernel/time.js';
import { eventually } from '../../support/smtp/eventually.js';
import {
  assertAccessible,
  assertReflows,
  PageServer,
  PASSWORD,
  PEOPLE,
  WITHOUT_BROWSER,
} from '../../support/page/browser.js';

describe('the screen of proposals in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
  });
  after(() => server.stop());

  const stateOf = async (id: string): Promise<string> =>
    (await server.api.get(`/api/v1/blocks/${id}`)).json['state'];
  const row = (page: Page, name: string) =>
    page.getByRole('table', { name: 'Proposals' }).getByRole('row').filter({ hasText: name });
  /** A row that has come after the page was opened is last. */
  const choose = async (page: Page, name: string): Promise<void> => {
    await row(page, name).focus();
    await page.getByRole('heading', { level: 2, name }).waitFor();
  };

  test('says that none waits, and shows what a rule proposes by itself', async () => {
    const page = await server.open({ as: 'operator', at: '/proposals' });
    await page.getByText('No proposal waits.').waitFor();
    await page.getByText('Live').waitFor();
    const id = await server.api.trip('first@example.com');
    await row(page, 'first@example.com').getByText('101 of 100 recipients in 10m').waitFor();
    await page.getByRole('heading', { name: 'Why' }).waitFor();
    await server.api.post(`/api/v1/blocks/${id}/dismiss`, {});
  });

  test('draws what a sender has sent up to now, also the flood of a moment ago', async () => {
    const { clock } = server.api;
    clock.advance(5 * MINUTE - (clock.now() % (5 * MINUTE)) + MINUTE);
    await server.api.sent('flood@example.com', 101);
    clock.advance(MINUTE);
    const id = await server.api.trip('flood@example.com');
    const page = await server.open({ as: 'operator', at: `/proposals/${id}` });
    await page.getByRole('heading', { level: 2, name: 'flood@example.com' }).waitFor();
    await page
      .getByRole('img', { name: /^Chart of what flood@example.com sent: 101 recipients in all/ })
      .waitFor();
    await server.api.post(`/api/v1/blocks/${id}/dismiss`, {});
  });

  test('approves by one key, goes on to the next, and releases with Undo', async () => {
    const ids = [await server.api.trip('ann@example.com'), await server.api.trip('bob@example.com')];
    const page = await server.open({ as: 'operator', at: '/proposals?sort=subject' });
    await row(page, 'ann@example.com').waitFor();
    await page.keyboard.press('j');
    await page.getByRole('heading', { level: 2, name: 'ann@example.com' }).waitFor();
    await row(page, 'ann@example.com').and(page.locator(':focus')).waitFor();
    await page.getByLabel('Note').fill('many complaints');
    await row(page, 'ann@example.com').focus();
    await page.keyboard.press('a');
    await page.getByRole('heading', { level: 2, name: 'bob@example.com' }).waitFor();
    await row(page, 'ann@example.com').waitFor({ state: 'detached' });
    assert.equal(
      await page.evaluate("document.activeElement.getAttribute('role')"),
      'row',
      'the focus stays in the list',
    );
    assert.equal(await stateOf(ids[0]!), 'active');
    const { json } = await server.api.get(`/api/v1/blocks/${ids[0]}`);
    assert.match(JSON.stringify(json), /many complaints/);
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('Released account ann@example.com. The proposal does not come back.').waitFor();
    assert.equal(await stateOf(ids[0]!), 'released');
    await server.api.post(`/api/v1/blocks/${ids[1]}/dismiss`, {});
  });

  test('says that a dismissal is pending, takes it back, and sends it when the page is left', async () => {
    const id = await server.api.trip('carl@example.com');
    const page = await server.open({ as: 'operator', at: '/proposals' });
    await choose(page, 'carl@example.com');
    await page.keyboard.press('d');
    await row(page, 'carl@example.com').getByText('Dismissed in').waitFor();
    await page.getByText('will be dismissed in 8 s').waitFor();
    assert.equal(await stateOf(id), 'proposed');
    await row(page, 'carl@example.com').getByRole('button', { name: 'Undo' }).click();
    await row(page, 'carl@example.com').getByText('lapses in').waitFor();
    await choose(page, 'carl@example.com');
    await page.keyboard.press('f');
    await row(page, 'carl@example.com').getByText('Dismissed in').waitFor();
    await page.goto('about:blank');
    await eventually('it is dismissed', async () => (await stateOf(id)) === 'dismissed');
    const { json } = await server.api.get(`/api/v1/blocks/${id}`);
    assert.equal(json['falsePositive'], true);
  });

  test('sends a dismissal that waits before signing out, and stays where it cannot', async () => {
    const id = await server.api.trip('sid@example.com');
    const page = await server.open({ as: 'operator', at: '/proposals' });
    const signOut = async (): Promise<void> => {
      await page.getByRole('button', { name: 'oscar', exact: true }).click();
      await page.getByRole('button', { name: 'Sign out' }).click();
    };
    const dismiss = async (): Promise<void> => {
      await choose(page, 'sid@example.com');
      await page.keyboard.press('d');
      await row(page, 'sid@example.com').getByText('Dismissed in').waitFor();
    };
    await page.route('**/dismiss', (route) => route.fulfill({ status: 503 }));
    await dismiss();
    await signOut();
    await page.getByText('The proposal for account sid@example.com was not dismissed').waitFor();
    assert.equal(await stateOf(id), 'proposed');
    await page.unroute('**/dismiss');
    await dismiss();
    await signOut();
    await page.getByLabel('Password').waitFor();
    assert.equal(await stateOf(id), 'dismissed');
  });

  test('gives up a dismissal that waits where somebody else signs in in another tab', async () => {
    const id = await server.api.trip('tabea@example.com');
    const page = await server.open({ as: 'operator', at: '/proposals' });
    await choose(page, 'tabea@example.com');
    await page.keyboard.press('d');
    await row(page, 'tabea@example.com').getByText('Dismissed in').waitFor();
    const context = page.context();
    const data = { name: PEOPLE.domain, password: PASSWORD };
    const signedIn = await context.request.post(`${server.api.url}api/v1/sign-in`, { data });
    assert.equal(signedIn.status(), 200);
    const other = await context.newPage();
    await other.goto(server.api.url);
    await page.getByRole('button', { name: PEOPLE.domain, exact: true }).waitFor();
    await page.getByText('will be dismissed').waitFor({ state: 'detached' });
    await page.clock.runFor(8000);
    assert.equal(await stateOf(id), 'proposed');
    await page.goto('about:blank');
    assert.equal(await stateOf(id), 'proposed');
    await server.api.post(`/api/v1/blocks/${id}/dismiss`, {});
  });

  for (const [when, isSent] of [
    ['while it waits', false],
    ['when its time is over', true],
  ] as const)
    test(`says to who signs in again that a dismissal was not made, where the session had ended ${when}`, async () => {
      const value = isSent ? 'vic@example.com' : 'uwe@example.com';
      const id = await server.api.trip(value);
      const page = await server.open({ as: 'operator', at: '/proposals' });
      await choose(page, value);
      await page.keyboard.press('d');
      await row(page, value).getByText('Dismissed in').waitFor();
      const { json } = await server.api.get('/api/v1/sessions');
      const sessions = json['items'] as unknown as readonly { id: string; name: string }[];
      for (const one of sessions.filter(({ name }) => name === PEOPLE.operator))
        await server.api.call('DELETE', `/api/v1/sessions/${one.id}`);
      if (isSent) await page.clock.runFor(8000);
      else await page.evaluate(`location.hash = '/people'`);
      await page.getByLabel('Name').fill(PEOPLE.operator);
      await page.getByLabel('Password').fill(PASSWORD);
      await page.getByRole('button', { name: 'Sign in', exact: true }).click();
      await page
        .getByText(`The proposal for account ${value} was not dismissed: your session had ended before.`)
        .waitFor();
      assert.equal(await stateOf(id), 'proposed');
      await server.api.post(`/api/v1/blocks/${id}/dismiss`, {});
    });

  test('sends a dismissal once its time is over', async () => {
    const id = await server.api.trip('cora@example.com');
    const page = await server.open({ as: 'operator', at: '/proposals' });
    await choose(page, 'cora@example.com');
    await page.getByRole('button', { name: 'Dismiss', exact: true }).click();
    await page.getByText('It will be dismissed in a few seconds.').waitFor();
    await page.clock.runFor(8000);
    await page.getByText('Dismissed the proposal for account cora@example.com').waitFor();
    assert.equal(await stateOf(id), 'dismissed');
  });

  test('greys what another person decides, says who, and lets nothing be done to it', async () => {
    const [id, other] = [await server.api.trip('dan@example.com'), await server.api.trip('eva@example.com')];
    const page = await server.open({ as: 'operator', at: '/proposals' });
    await page.getByText('Live').waitFor();
    await choose(page, 'dan@example.com');
    await server.api.post(`/api/v1/blocks/${id}/approve`, {});
    await row(page, 'dan@example.com').getByText('the-admin approved it').waitFor();
    await page.getByRole('link', { name: 'Open the block' }).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Approve' }).count(), 0);
    await page.keyboard.press('a');
    await page.keyboard.press('d');
    assert.equal(await row(page, 'dan@example.com').getByText('Dismissed in').count(), 0);
    await server.api.post(`/api/v1/blocks/${other}/dismiss`, {});
  });

  test('keeps showing what it shows while a rule proposes more, and the note that is being typed', async () => {
    const { api } = server;
    const old = await api.trip('xenia@example.com');
    const page = await server.open({ as: 'operator', at: '/proposals' });
    await page.getByText('Live').waitFor();
    await page.getByRole('heading', { level: 2, name: 'xenia@example.com' }).waitFor();
    const note = page.getByLabel('Note');
    await note.click();
    await page.keyboard.type('called her, ');
    api.clock.advance(1000);
    const fresh = await api.trip('yara@example.com');
    await row(page, 'yara@example.com').waitFor();
    assert.match(
      await page.getByRole('table').getByRole('row').nth(1).innerText(),
      /yara/,
      'it is the first',
    );
    await page.keyboard.type('and a friend');
    assert.equal(await note.inputValue(), 'called her, and a friend');
    await page.getByLabel('Order').selectOption('subject');
    await row(page, 'xenia@example.com').waitFor();
    await page.getByRole('heading', { level: 2, name: 'xenia@example.com' }).waitFor();
    assert.equal(await note.inputValue(), 'called her, and a friend');
    await page.getByRole('button', { name: 'Dismiss', exact: true }).click();
    await page.getByRole('heading', { level: 2, name: 'yara@example.com' }).waitFor();
    await page.clock.runFor(8000);
    await eventually('the one that was shown is dismissed', async () => (await stateOf(old)) === 'dismissed');
    assert.equal(await stateOf(fresh), 'proposed');
    await api.post(`/api/v1/blocks/${fresh}/dismiss`, {});
  });

  test('takes no letter of a note for a key once another person has decided, and shows no other proposal', async () => {
    const { api } = server;
    const other = await api.trip('tom@example.com');
    api.clock.advance(1000);
    const id = await api.trip('una@example.com');
    const page = await server.open({ as: 'operator', at: '/proposals' });
    await page.getByText('Live').waitFor();
    await choose(page, 'una@example.com');
    await page.getByLabel('Note').click();
    await page.keyboard.type('Jack paid, ');
    await api.post(`/api/v1/blocks/${id}/approve`, {});
    await page.getByText('What you typed here was not sent.').waitFor();
    await page.getByRole('link', { name: 'Open the block' }).waitFor();
    await page.keyboard.type('jk and a friend');
    assert.equal(await page.getByLabel('Note').inputValue(), 'Jack paid, jk and a friend');
    await row(page, 'una@example.com').focus();
    await row(page, 'una@example.com').getByText('approved it').waitFor();
    // A decided one leaves the list after a minute.
    await page.clock.setFixedTime(api.clock.now() + 2 * MINUTE);
    await page.clock.runFor(6000);
    await row(page, 'una@example.com').waitFor({ state: 'detached' });
    await row(page, 'tom@example.com').and(page.locator(':focus')).waitFor();
    await page.keyboard.press('a');
    await page.getByRole('heading', { level: 2, name: 'una@example.com' }).waitFor();
    assert.equal(await page.getByRole('heading', { level: 2, name: 'tom@example.com' }).count(), 0);
    assert.equal(await stateOf(other), 'proposed');
    await api.post(`/api/v1/blocks/${other}/dismiss`, {});
  });

  test('takes no key for one that has come up by itself until it was there for a moment', async () => {
    const page = await server.open({ as: 'operator', at: '/proposals' });
    await page.getByText('No proposal waits.').waitFor();
    await page.getByText('Live').waitFor();
    await page.clock.pauseAt(server.api.clock.now() + 1000);
    const id = await server.api.trip('vito@example.com');
    await page.clock.runFor(400);
    await page.getByRole('button', { name: 'Approve' }).waitFor();
    await page.keyboard.press('d');
    assert.equal(await page.getByText('will be dismissed').count(), 0);
    await page.clock.runFor(1000);
    await page.keyboard.press('d');
    await page.getByText('will be dismissed').first().waitFor();
    await server.api.post(`/api/v1/blocks/${id}/dismiss`, {});
  });

  test('decides on one proposal while a key is held down', async () => {
    const { api } = server;
    const ids = [await api.trip('wim@example.com'), await api.trip('xaver@example.com')];
    const page = await server.open({ as: 'operator', at: '/proposals?sort=subject' });
    await choose(page, 'wim@example.com');
    await page.keyboard.down('f');
    await page.getByRole('heading', { level: 2, name: 'xaver@example.com' }).waitFor();
    await page.keyboard.down('f');
    await page.keyboard.up('f');
    assert.equal(await page.getByText('Dismissed in').count(), 1);
    await row(page, 'wim@example.com').getByRole('button', { name: 'Undo' }).click();
    for (const id of ids) await api.post(`/api/v1/blocks/${id}/dismiss`, {});
  });

  test('stays at the one that is looked at by the time that an approval before is answered', async () => {
    const { api } = server;
    const names = ['ada@example.com', 'ben@example.com', 'cleo@example.com'];
    const ids = await Promise.all(names.map((name) => api.trip(name)));
    const page = await server.open({ as: 'operator', at: '/proposals?sort=subject' });
    await choose(page, 'ada@example.com');
    let answer = (): void => undefined;
    const waited = new Promise<void>((resolve) => (answer = resolve));
    await page.route('**/approve', async (route) => {
      await waited;
      await route.continue();
    });
    await page.keyboard.press('a');
    await choose(page, 'cleo@example.com');
    await page.getByLabel('Note').fill('a school');
    answer();
    await page.getByText('Blocked account ada@example.com').waitFor();
    await page.getByRole('heading', { level: 2, name: 'cleo@example.com' }).waitFor();
    assert.equal(await page.getByLabel('Note').inputValue(), 'a school');
    for (const id of ids.slice(1)) await api.post(`/api/v1/blocks/${id}/dismiss`, {});
  });

  test('exempts the sender for a reason, and dismisses the proposal', async () => {
    const id = await server.api.trip('news@example.com');
    const page = await server.open({ as: 'operator', at: '/proposals' });
    await choose(page, 'news@example.com');
    await page.keyboard.press('e');
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Exempt' }).click();
    await dialog.getByText('must say why').waitFor();
    await assertAccessible(page);
    await dialog.getByLabel('Why').fill('the newsletter');
    await dialog.getByRole('button', { name: 'Exempt' }).click();
    await page.getByText('Exempted account news@example.com').waitFor();
    await page.getByText('No proposal waits.').waitFor();
    assert.equal(await stateOf(id), 'dismissed');
    const { text } = await server.api.get('/api/v1/exemptions');
    assert.match(text, /the newsletter/);
    await page.getByRole('button', { name: 'Undo' }).press('Enter');
    await page
      .getByText('Rules act on account news@example.com again. The proposal does not come back.')
      .waitFor();
  });

  test('approves the selected ones with a result for each', async () => {
    const ids = [await server.api.trip('gus@example.com'), await server.api.trip('hal@example.com')];
    const page = await server.open({ as: 'operator', at: '/proposals?sort=subject' });
    await choose(page, 'gus@example.com');
    await page.keyboard.press('x');
    await page.keyboard.press('j');
    await page.keyboard.press('Shift+X');
    await page.getByText('2 selected').waitFor();
    // One of them is decided meanwhile.
    await page.route('**/blocks/actions', async (route) => {
      await server.api.post(`/api/v1/blocks/${ids[1]}/dismiss`, {});
      await route.continue();
    });
    await page.keyboard.press('a');
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('button', { name: 'Approve 2 proposals' }).click();
    await dialog.getByText('1 blocked, 1 decided already.').waitFor();
    await dialog.getByRole('heading', { name: 'Approve 2 proposals' }).waitFor();
    await dialog.getByRole('row').filter({ hasText: 'gus@example.com' }).getByText('blocked').waitFor();
    await assertAccessible(page);
    await dialog.getByRole('button', { name: 'Undo: release 1' }).click();
    await page.getByText('Released 1 of 1 again. The proposals do not come back.').waitFor();
    assert.deepEqual(await Promise.all(ids.map(stateOf)), ['released', 'dismissed']);
  });

  test('says what became of a proposal whose link comes late', async () => {
    const id = await server.api.trip('ida@example.com');
    await server.api.post(`/api/v1/blocks/${id}/dismiss`, { note: 'a school' });
    const page = await server.open({ as: 'operator', at: `/proposals/${id}` });
    await page.getByText('the-admin dismissed it').waitFor();
    await page.getByText('a school').waitFor();
    await page.getByRole('link', { name: 'Open the block' }).click();
    await page.getByRole('heading', { name: 'account ida@example.com' }).waitFor();
  });

  test('shows a fault of what is typed at its field, and keeps it', async () => {
    const id = await server.api.trip('joe@example.com');
    const page = await server.open({ as: 'operator', at: `/proposals/${id}` });
    const long = 'x'.repeat(5000);
    await page.getByLabel('Note').fill(long);
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.locator('textarea[aria-invalid=true]').waitFor();
    assert.equal(await page.getByLabel('Note').inputValue(), long);
    assert.equal(await stateOf(id), 'proposed');
  });

  test('says what is wrong while the server does not answer, and tries again', async () => {
    const page = await server.open({ as: 'operator' });
    const problem = {
      type: 'about:blank',
      title: 'Away',
      status: 503,
      detail: 'the store is away',
      instance: '/',
    };
    const answer = { status: 503, contentType: 'application/problem+json', body: JSON.stringify(problem) };
    await page.route('**/api/v1/blocks?*', (route) => route.fulfill(answer));
    await page.evaluate("location.hash = '/proposals'");
    await page.getByRole('alert').getByText('the store is away').waitFor();
    await page.unroute('**/api/v1/blocks?*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await row(page, 'joe@example.com').waitFor();
  });

  test('lets the administrator of a domain decide, but neither exempt nor call it a false positive', async () => {
    await server.api.trip('mia@own.example');
    const page = await server.open({ as: 'domain', at: '/proposals' });
    await row(page, 'mia@own.example').waitFor();
    await page.getByRole('button', { name: 'Approve' }).waitFor();
    assert.equal(await row(page, 'joe@example.com').count(), 0);
    assert.equal(await page.getByRole('button', { name: 'False positive' }).count(), 0);
    assert.equal(await page.getByRole('button', { name: 'Exempt' }).count(), 0);
  });

  test('shows a viewer everything and no button', async () => {
    const page = await server.open({ as: 'viewer', at: '/proposals' });
    await row(page, 'joe@example.com').waitFor();
    await page.getByRole('heading', { name: 'Earlier decisions' }).waitFor();
    for (const name of ['Approve', 'Dismiss'])
      assert.equal(await page.getByRole('button', { name }).count(), 0);
    assert.equal(await page.getByRole('checkbox').count(), 0);
  });

  test('has no fault that axe knows, in light and dark colours', async () => {
    const page = await server.open({ as: 'admin', at: '/proposals' });
    await page.getByRole('heading', { name: 'Latest sends' }).waitFor();
    await assertAccessible(page);
  });

  test('shows one proposal at a time on a narrow screen, by keyboard alone', async () => {
    const page = await server.open({ as: 'admin', at: '/proposals', width: 320, height: 640 });
    await row(page, 'joe@example.com').waitFor();
    await assertReflows(page);
    await page.keyboard.press('j');
    await row(page, 'mia@own.example').and(page.locator(':focus')).waitFor();
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 2, name: 'joe@example.com' }).waitFor();
    await page.getByRole('region', { name: 'joe@example.com' }).and(page.locator(':focus')).waitFor();
    await page.getByRole('heading', { name: 'Latest sends' }).waitFor();
    await assertReflows(page);
    await page.keyboard.press('Escape');
    await row(page, 'joe@example.com').and(page.locator(':focus')).waitFor();
  });

  test('shows what a sender sent and what was decided before without scrolling sideways', async () => {
    await server.api.sent('kai@example.com', 12);
    const earlier = await server.api.trip('kai@example.com');
    await server.api.post(`/api/v1/blocks/${earlier}/dismiss`, {});
    const id = await server.api.trip('kai@example.com');
    const page = await server.open({ as: 'viewer', at: `/proposals/${id}` });
    await page.getByRole('heading', { name: 'Latest sends' }).waitFor();
    // A string: it runs in the browser, whose types are not those of the tests.
    const tables = `[...document.querySelectorAll('.proposal-detail table')]
      .filter((table) => table.closest('details') === null)
      .map((table) => [table.offsetWidth, table.parentElement.clientWidth])`;
    for (const width of [1280, 1024, 320]) {
      await page.setViewportSize({ width, height: 800 });
      const found = await page.evaluate<[number, number][]>(tables);
      assert.ok(found.length >= 2, `${found.length} tables`);
      for (const [table, room] of found) assert.ok(table <= room, `${table} of ${room} pixels at ${width}`);
    }
    await server.api.post(`/api/v1/blocks/${id}/dismiss`, {});
  });
});
