import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertAccessible, PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

describe('names with a percent sign in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
  });
  after(() => server.stop());

  const NAMES = ['user%shop.example@own.example', 'bo%62@own.example', 'a%2fb%2525%@own.example'];

  for (const name of NAMES)
    test(`${name} leads to its own sender from the list and from the search`, async () => {
      await server.api.block(name);
      const page = await server.open({ as: 'operator', at: '/blocks' });
      await page.getByRole('table', { name: 'Blocks' }).getByRole('link', { name, exact: true }).click();
      const heading = page.getByRole('heading', { level: 1, name: `${name} account` });
      await heading.waitFor();
      await page.getByRole('button', { name: 'Release' }).waitFor();
      await page.evaluate("location.hash = '/'");
      await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
      await page.getByRole('searchbox').fill(name);
      await page.keyboard.press('Enter');
      await heading.waitFor();
      await page.getByRole('button', { name: 'Release' }).waitFor();
    });

  test('a search for one finds it, and no other', async () => {
    await server.api.block('bo%62@own.example');
    await server.api.block('bob@own.example');
    const page = await server.open({ as: 'operator', at: '/blocks?q=bo%2562' });
    await page.getByRole('link', { name: 'bo%62@own.example' }).waitFor();
    assert.equal(await page.getByLabel('Search', { exact: true }).inputValue(), 'bo%62');
    assert.equal(await page.getByRole('link', { name: 'bob@own.example' }).count(), 0);
  });
});

describe(
  'names that turn the direction of writing, or hold what is not seen, in a real browser',
  {
    skip: WITHOUT_BROWSER,
  },
  () => {
    const NAME = 'a\u202egro\u200bb@own.example';
    const SHOWN = 'a\ufffdgro\ufffdb@own.example';
    const UNSEEN = /[\u202e\u200b]/;
    let server: PageServer;
    let id: string;

    before(async () => {
      server = await PageServer.start();
      await server.api.sent(NAME, 101);
      id = await server.api.trip(NAME, 'block');
      await server.api.trip(`b${NAME}`);
      await server.api.post('/api/v1/exemptions', {
        subject: { type: 'account', value: `c${NAME}` },
        reason: `as ${NAME}`,
        duration: '1d',
      });
    });
    after(() => server.stop());

    const places = (): readonly string[] => [
      '/',
      '/blocks',
      '/proposals',
      '/exemptions',
      '/changes',
      `/blocks/${id}`,
      `/senders/account/${encodeURIComponent(NAME)}`,
    ];

    test('show on every screen with a sign in place of these, in texts, titles and labels', async () => {
      for (const at of places()) {
        const page = await server.open({ as: 'admin', at });
        await page.getByText(SHOWN).first().waitFor();
        const [text, marked] = await page.evaluate<string[]>(
          `[document.body.innerText, [...document.querySelectorAll('[title],[aria-label]')]
          .map((one) => one.title + one.ariaLabel).join()]`,
        );
        assert.doesNotMatch(text!, UNSEEN, at);
        assert.doesNotMatch(marked!, UNSEEN, at);
        await assertAccessible(page);
      }
    });

    test('lead to the sender all the same', async () => {
      const page = await server.open({ as: 'operator', at: `/blocks/${id}` });
      await page.getByRole('link', { name: SHOWN }).first().click();
      await page.getByRole('heading', { level: 1, name: SHOWN }).waitFor();
      await page.getByText('blocked').first().waitFor();
      await page.getByRole('button', { name: 'Release' }).press('Enter');
      await page.getByRole('dialog', { name: `Release account ${SHOWN}` }).waitFor();
    });
  },
);
