import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Page } from 'playwright-core';
import { MINUTE } from '../../../src/kernel/time.js';
import {
  assertAccessible,
  assertReflows,
  PageServer,
  PASSWORD,
  WITHOUT_BROWSER,
} from '../../support/page/browser.js';

interface Device {
  /** The passkeys in it. */
  count(): Promise<number>;
  /** Lets the next person be verified, or not. */
  verifies(isVerified: boolean): Promise<void>;
  /** The same passkeys, in another window. */
  copyTo(page: Page): Promise<Device>;
}

/** A device with a finger on it, as DevTools has it. */
async function plugIn(page: Page, credentials: readonly object[] = []): Promise<Device> {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('WebAuthn.enable');
  const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      automaticPresenceSimulation: true,
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
    },
  });
  for (const credential of credentials)
    await devtools.send('WebAuthn.addCredential', { authenticatorId, credential: credential as never });
  const inside = async () =>
    (await devtools.send('WebAuthn.getCredentials', { authenticatorId })).credentials;
  return {
    count: async () => (await inside()).length,
    verifies: async (isUserVerified) => {
      await devtools.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified });
    },
    copyTo: async (other) => plugIn(other, await inside()),
  };
}

describe('passkeys in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  let url: string;
  before(async () => {
    server = await PageServer.start();
    url = server.api.url.replace('127.0.0.1', 'localhost');
  });
  after(() => server.stop());

  const dialog = (page: Page) => page.getByRole('dialog');

  async function add(page: Page, name: string): Promise<void> {
    await page.getByRole('button', { name: 'Add a passkey' }).press('Enter');
    await page.getByLabel('What you call it').fill(name);
    await page.getByLabel('Your password').fill(PASSWORD);
    await page.getByLabel('Your password').press('Enter');
  }

  test('are added with the password, and sign in without it, by keyboard alone', async () => {
    const page = await server.open({ as: 'operator', at: '/people', url });
    const device = await plugIn(page);
    await page.getByRole('button', { name: 'Add a passkey' }).press('Enter');
    await page.getByLabel('What you call it').fill('my laptop');
    await page.getByLabel('Your password').fill('wrong');
    await page.getByLabel('Your password').press('Enter');
    await page.locator('input[name=password][aria-invalid=true]').waitFor();
    assert.equal(await page.getByLabel('What you call it').inputValue(), 'my laptop');
    await assertAccessible(page);
    assert.equal(await device.count(), 0, 'the device is asked last');
    await page.getByLabel('Your password').fill(PASSWORD);
    await page.getByLabel('Your password').press('Enter');
    await page.getByText('You can sign in with the passkey my laptop').waitFor();
    await page.getByText('never used').waitFor();
    assert.equal(await device.count(), 1);
    await assertAccessible(page);
    await assertReflows(page);

    server.api.clock.advance(MINUTE);
    const again = await server.open({ at: '/people', url });
    await device.copyTo(again);
    const button = again.getByRole('button', { name: 'Sign in with a passkey' });
    await button.waitFor();
    await assertAccessible(again);
    await button.press('Enter');
    await again.getByRole('heading', { name: 'People', exact: true }).waitFor();
    await again.getByRole('button', { name: 'oscar', exact: true }).waitFor();
    await again.getByText('my laptop').waitFor();
    assert.equal(await again.getByText('never used').count(), 0);
  });

  test('are removed with the password, and let nobody in then', async () => {
    const page = await server.open({ as: 'viewer', at: '/people', url });
    const device = await plugIn(page);
    await add(page, 'old phone');
    await page.getByText('never used').waitFor();
    await page.getByRole('button', { name: 'Remove the passkey old phone' }).press('Enter');
    await page.getByLabel('Your password').fill(PASSWORD);
    await assertAccessible(page);
    await page.getByLabel('Your password').press('Enter');
    await page.getByText('The passkey old phone is removed').waitFor();
    await page.getByText('none', { exact: true }).waitFor();
    const again = await server.open({ at: '/people', url });
    await device.copyTo(again);
    await again.getByRole('button', { name: 'Sign in with a passkey' }).press('Enter');
    await again.getByRole('alert').getByText('does not let anybody in here').waitFor();
    await assertAccessible(again);
  });

  test('of somebody who lost the device are removed by an administrator, who hears of them at a new link too', async () => {
    const theirs = await server.open({ as: 'operator', at: '/people', url });
    const device = await plugIn(theirs);
    await add(theirs, 'lost phone');
    await theirs.getByText('You can sign in with the passkey lost phone').waitFor();
    const page = await server.open({ as: 'admin', at: '/people', url });
    const row = page.getByRole('table', { name: 'People' }).getByRole('row').filter({ hasText: 'oscar' });
    await row.getByRole('button', { name: 'Link for a password' }).press('Enter');
    await dialog(page).getByText('of oscar will sign in as before').waitFor();
    await assertAccessible(page);
    await dialog(page).getByRole('button', { name: 'Close' }).press('Enter');
    await row.getByRole('button', { name: 'Remove passkeys' }).press('Enter');
    await assertAccessible(page);

    await dialog(page).getByRole('button', { name: 'Remove them' }).press('Enter');

    await page.getByText('oscar has no passkeys any more').waitFor();
    await row.getByRole('button', { name: 'Remove passkeys' }).waitFor({ state: 'detached' });
    await theirs.reload();
    await theirs.getByRole('button', { name: 'Sign in', exact: true }).waitFor();
    const again = await server.open({ at: '/people', url });
    await device.copyTo(again);
    await again.getByRole('button', { name: 'Sign in with a passkey' }).press('Enter');
    await again.getByRole('alert').getByText('does not let anybody in here').waitFor();
  });

  test('that a device has already, or does not give, are told of in words', async () => {
    const page = await server.open({ as: 'domain', at: '/people', url });
    const device = await plugIn(page);
    await add(page, 'key');
    await page.getByText('never used').waitFor();
    await add(page, 'key again');
    await dialog(page).getByRole('alert').getByText('has a passkey for you already').waitFor();
    await dialog(page).getByRole('button', { name: 'Cancel' }).click();
    await device.verifies(false);
    const again = await server.open({ at: '/people', url });
    const copy = await device.copyTo(again);
    await copy.verifies(false);
    await again.getByRole('button', { name: 'Sign in with a passkey' }).press('Enter');
    await again.getByRole('alert').getByText('No passkey was used').waitFor();
  });

  test('are not offered at an address where browsers have none', async () => {
    const page = await server.open({ at: '/people' });
    await page.getByRole('button', { name: 'Sign in', exact: true }).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Sign in with a passkey' }).count(), 0);
    const own = await server.open({ as: 'admin', at: '/people' });
    await own.getByText('They need HTTPS and the name in api.publicUrl, or localhost').waitFor();
    assert.equal(await own.getByRole('button', { name: 'Add a passkey' }).count(), 0);
  });
});
