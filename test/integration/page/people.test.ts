import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Secret, TOTP } from 'otpauth';
import type { Page } from 'playwright-core';
import { NO_ADMINS } from '../../../src/accounts/admins.js';
import { FirstLink } from '../../../src/api/index.js';
import { MINUTE } from '../../../src/kernel/time.js';
import {
  assertAccessible,
  assertReflows,
  PageServer,
  PASSWORD,
  WITHOUT_BROWSER,
} from '../../support/page/browser.js';

const ANOTHER = 'three other random words';

describe('the screen of people in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
  });
  after(() => server.stop());

  const people = (page: Page) => page.getByRole('table', { name: 'People' });
  const dialog = (page: Page) => page.getByRole('dialog');

  async function signIn(page: Page, name: string, password: string): Promise<void> {
    await page.getByLabel('Name').fill(name);
    await page.getByLabel('Password').fill(password);
    await page.getByLabel('Password').press('Enter');
  }

  test('adds a person, who chooses a password by the link and is in', async () => {
    const page = await server.open({ as: 'admin', at: '/people' });
    await page.getByRole('button', { name: 'Add a person' }).press('Enter');
    await page.getByLabel('Name').fill('not a name');
    await page.getByLabel('Role').selectOption('domain');
    await page.getByLabel('Domains').fill('own.example, example.org');
    await dialog(page).getByRole('button', { name: 'Add', exact: true }).press('Enter');
    await page.locator('input[name=name][aria-invalid=true]').waitFor();
    await assertAccessible(page);
    await page.getByLabel('Name').fill('agency');
    await page.getByLabel('Name').press('Enter');
    const link = dialog(page).getByLabel('The link');
    await link.waitFor();
    await assertAccessible(page);
    const url = (await link.textContent())!.trim();
    await page.keyboard.press('Escape');
    const row = people(page).getByRole('row').filter({ hasText: 'agency' });
    await row.getByText('no password yet').waitFor();
    await row.getByText('own.example, example.org').waitFor();

    const theirs = await server.open({ at: url.slice(url.indexOf('#') + 1) });
    await theirs.getByLabel('Password').fill('short');
    await theirs.getByLabel('Password').press('Enter');
    await theirs.getByText('at least 12 characters').waitFor();
    await assertAccessible(theirs);
    await theirs.getByLabel('Password').fill(ANOTHER);
    await theirs.getByLabel('Show it').check();
    await theirs.getByLabel('Password').press('Enter');
    await theirs.getByRole('button', { name: 'agency' }).waitFor();
    assert.doesNotMatch(theirs.url(), /link/);
  });

  test('keeps a person out, takes that back, and never the last administrator', async () => {
    const page = await server.open({ as: 'admin', at: '/people' });
    const row = people(page).getByRole('row').filter({ hasText: 'oscar' });
    await row.getByRole('button', { name: 'Keep out' }).press('Enter');
    await row.getByText('kept out').waitFor();
    await page.getByRole('button', { name: 'Undo' }).press('Enter');
    await row.getByText('kept out').waitFor({ state: 'detached' });
    const own = people(page).getByRole('row').filter({ hasText: 'alice' });
    await own.getByRole('button', { name: 'Edit' }).click();
    await page.getByLabel('Role').selectOption('viewer');
    await dialog(page).getByRole('button', { name: 'Change' }).click();
    await dialog(page).getByRole('alert').waitFor();
  });

  test('removes a person once that is confirmed', async () => {
    const { clock } = server.api;
    clock.advance(MINUTE);
    const page = await server.open({ as: 'admin', at: '/people' });
    await page.getByRole('button', { name: 'Add a person' }).click();
    await page.getByLabel('Name').fill('temp');
    await page.getByLabel('Name').press('Enter');
    await dialog(page).getByLabel('The link').waitFor();
    await dialog(page).getByRole('button', { name: 'Close' }).click();
    const row = people(page).getByRole('row').filter({ hasText: 'temp' });
    await row.getByRole('button', { name: 'Remove' }).press('Enter');
    await dialog(page).getByRole('button', { name: 'Remove' }).press('Enter');
    await row.waitFor({ state: 'detached' });
  });

  test('changes the own password, with the present one', async () => {
    const page = await server.open({ as: 'viewer', at: '/people' });
    await page.getByRole('button', { name: 'Change the password' }).press('Enter');
    await page.getByLabel('The present one').fill('wrong');
    await page.getByLabel('The new one').fill(ANOTHER);
    await page.getByLabel('The new one').press('Enter');
    await page.locator('input[name=password][aria-invalid=true]').waitFor();
    await assertAccessible(page);
    await page.getByLabel('The present one').fill(PASSWORD);
    await page.getByLabel('The new one').press('Enter');
    await page.getByText('Your password is another one now').waitFor();
    const again = await server.open({ at: '/people' });
    await signIn(again, 'vera', ANOTHER);
    await again.getByRole('heading', { name: 'Your sessions' }).waitFor();
  });

  test('shows the sign-in in each tab once the session was ended in one', async () => {
    const one = await server.open({ as: 'operator', at: '/people' });
    await one.getByRole('button', { name: 'oscar' }).waitFor();
    const other = await one.context().newPage();
    await other.goto(one.url());
    await other.getByRole('button', { name: 'oscar' }).press('Enter');
    await other.getByRole('button', { name: 'Sign out' }).press('Enter');
    for (const tab of [other, one]) await tab.getByLabel('Password', { exact: true }).waitFor();
  });

  test('sets up a second factor, shows recovery codes once, signs in with a code, and turns it off', async () => {
    const { clock } = server.api;
    const page = await server.open({ as: 'operator', at: '/people' });
    await page.getByRole('button', { name: 'Set it up' }).press('Enter');
    await page.getByLabel('Your password').fill(PASSWORD);
    await page.getByLabel('Your password').press('Enter');
    await page.getByRole('img', { name: /authenticator/ }).waitFor();
    const key = (await dialog(page).locator('code').textContent())!.replace(/\s/g, '');
    const codeNow = (): string =>
      new TOTP({ secret: Secret.fromBase32(key) }).generate({ timestamp: clock.now() });
    await page.getByLabel('The six digits').fill('000000');
    await page.getByLabel('The six digits').press('Enter');
    await page.locator('input[name=code][aria-invalid=true]').waitFor();
    await assertAccessible(page);
    await page.getByLabel('The six digits').fill(codeNow());
    await page.getByLabel('The six digits').press('Enter');
    await dialog(page).getByText('Your recovery codes').waitFor();
    for (const key of ['Escape', 'Escape']) await page.keyboard.press(key);
    await dialog(page).getByText('Your recovery codes').waitFor();
    assert.equal(await dialog(page).getByRole('listitem').count(), 10, 'nobody loses them by a key');
    await assertAccessible(page);
    await dialog(page).getByRole('button', { name: 'I have kept them' }).press('Enter');
    await page.getByText('on', { exact: true }).waitFor();

    clock.advance(MINUTE);
    const again = await server.open({ at: '/people' });
    await signIn(again, 'oscar', PASSWORD);
    await again.getByLabel('Code of your authenticator').fill(codeNow());
    await again.getByLabel('Code of your authenticator').press('Enter');
    await again.getByRole('button', { name: 'Turn it off' }).press('Enter');
    await again.getByLabel('Your password').fill(PASSWORD);
    await again.getByLabel('Your password').press('Enter');
    await again.getByText('off: the password alone is enough').waitFor();
  });

  test('lists the own sessions, and ends one that is not wanted', async () => {
    const other = await server.open({ as: 'domain', at: '/people' });
    const page = await server.open({ as: 'domain', at: '/people' });
    const sessions = page.getByRole('table', { name: 'Your sessions' });
    await sessions.getByRole('row').nth(2).waitFor();
    assert.equal(await page.getByRole('heading', { name: 'Who may sign in' }).count(), 0);
    await sessions
      .getByRole('button', { name: /^End it/ })
      .first()
      .press('Enter');
    await page.getByText('Ended a session of dora').waitFor();
    await other.reload();
    await other.getByRole('button', { name: 'Sign in' }).waitFor();
  });

  test('has no fault that axe knows, in light and dark colours, and fits 320 pixels', async () => {
    const page = await server.open({ as: 'admin', at: '/people' });
    await people(page).waitFor();
    await page.getByRole('table', { name: 'Sessions' }).waitFor();
    await assertAccessible(page);
    await assertReflows(page);
  });
});

describe('the ways to sign in, in a real browser', { skip: WITHOUT_BROWSER }, () => {
  const TOKEN = 'a-token-of-the-first-link';
  let server: PageServer;
  before(async () => {
    server = await PageServer.start(
      (deps) => ({
        ...deps,
        vouchers: { evaluation: 'evaluation' },
        first: new FirstLink(TOKEN, deps.admins ?? (() => NO_ADMINS)),
      }),
      {},
    );
  });
  after(() => server.stop());

  test('lets one try it out with one click', async () => {
    const page = await server.open({ at: '/changes' });
    await page.getByRole('button', { name: 'Sign in to try it' }).waitFor();
    await assertAccessible(page);
    await assertReflows(page);
    await page.getByRole('button', { name: 'Sign in to try it' }).press('Enter');
    await page.getByRole('heading', { name: 'Changes' }).waitFor();
    await page.goto(`${server.api.url}#/people`);
    await page.getByText('You try Stopgap out, without a password').waitFor();
  });

  test('tells in words why a provider let nobody in, and leads to it again', async () => {
    const page = await server.open({ at: '/sign-in?error=no-role' });
    await page.getByRole('alert').getByText('no group of yours has a role here').waitFor();
    await page.route('**/api/v1/sign-in', (route) =>
      route.fulfill({
        json: { evaluation: false, first: false, openId: { label: 'Sign in with ACME' }, passkeys: false },
      }),
    );
    await page.reload();
    const link = page.getByRole('link', { name: 'Sign in with ACME' });
    await link.waitFor();
    assert.match((await link.getAttribute('href'))!, /\/api\/v1\/sign-in\/openid$/);
    await assertAccessible(page);
  });

  test('says that nobody has the role admin yet, which others may sign in without', async () => {
    const page = await server.open({ at: '/' });
    await page.getByText('Nobody has the role admin yet. The server has printed a link').waitFor();
  });

  test('makes the first administrator by the link that the server printed, once', async () => {
    const page = await server.open({ at: `/first/${TOKEN}` });
    await page.getByLabel('Name').fill('root');
    await page.getByLabel('Password').fill('short');
    await page.getByLabel('Password').press('Enter');
    await page.getByText('at least 12 characters').waitFor();
    assert.equal(await page.getByLabel('Name').inputValue(), 'root');
    await assertAccessible(page);
    await page.getByLabel('Password').fill(ANOTHER);
    await page.getByLabel('Password').press('Enter');
    await page.getByRole('button', { name: 'root' }).waitFor();
    assert.doesNotMatch(page.url(), /first/);
    const late = await server.open({ at: `/first/${TOKEN}` });
    await late.getByLabel('Name').fill('thief');
    await late.getByLabel('Password').fill(ANOTHER);
    await late.getByLabel('Password').press('Enter');
    await late.getByRole('alert').getByText('works no more').waitFor();
  });
});
