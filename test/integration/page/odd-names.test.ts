import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertAccessible, PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

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
