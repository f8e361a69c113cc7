import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';
import { eventually } from '../../support/smtp/eventually.js';

describe('the page for people who see badly, in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
    await server.api.sent('busy@example.com', 60);
    await server.api.trip('busy@example.com', 'block');
    await server.api.block('ann.of.accounting@example.com', { description: 'phished by a letter' });
    await server.api.trip('bob@example.com');
  });
  after(() => server.stop());

  /** The ring around what has the focus, and around the same without it. */
  const RINGS = `(() => {
    const element = document.activeElement;
    const ring = () => {
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
      return (outlineStyle === 'none' ? 'no outline' : outlineWidth + ' ' + outlineStyle) + ', ' + boxShadow;
    };
    const focused = ring();
    element.blur();
    return [focused, ring()];
  })()`;

  for (const forcedColors of ['none', 'active'] as const)
    test(`shows where the focus is, with ${forcedColors === 'none' ? 'its own' : 'forced'} colours`, async () => {
      const page = await server.open({ as: 'operator', at: '/blocks' });
      await page.emulateMedia({ forcedColors });
      const table = page.getByRole('table', { name: 'Blocks' });
      const row = table.getByRole('row').filter({ hasText: 'ann.of' });
      await row.waitFor();
      for (const [what, element] of [
        ['a link of the frame', page.getByRole('link', { name: 'Changes' })],
        ['a link in a row', row.getByRole('link').first()],
        ['a button', page.getByRole('button', { name: 'Block a sender' })],
        ['a button in a row', row.getByRole('button', { name: 'Release' })],
        ['a field', page.getByLabel('Search')],
        ['a choice', page.getByLabel('State')],
        ['a row', row],
      ] as const) {
        await page.keyboard.press('Tab');
        await element.focus();
        const [ring, without] = await page.evaluate<[string, string]>(RINGS);
        assert.notEqual(ring, without, what);
        assert.match(ring, /^[2-9]px solid/, what);
      }
    });

  /** What has its text cut off, or goes beyond its panel or the window. */
  const CUT = `[...document.querySelectorAll('body *')]
    .filter((element) => {
      const { overflowX, clipPath } = getComputedStyle(element);
      if (clipPath !== 'none' || element.closest('svg, canvas, .uplot, select') !== null) return false;
      const isCut = overflowX !== 'visible' && element.scrollWidth > element.clientWidth + 1;
      const box = element.getBoundingClientRect();
      const room = Math.min(innerWidth, element.closest('.panel')?.getBoundingClientRect().right ?? Infinity);
      return isCut || (box.width > 0 && box.right > room + 1);
    })
    .map((element) => element.outerHTML.slice(0, 200))`;

  for (const [screen, path] of [
    ['the overview', '/'],
    ['blocks', '/blocks'],
    ['a sender', '/senders/account/busy@example.com'],
  ] as const)
    test(`cuts nothing of ${screen} off where text is twice as large`, async () => {
      const page = await server.open({ as: 'operator', at: path });
      await page.getByText('busy@example.com').first().waitFor();
      await page.evaluate(`document.documentElement.style.fontSize =
        2 * parseFloat(getComputedStyle(document.documentElement).fontSize) + 'px'`);
      let cut: string[] = [];
      // The rows of a table become cards a moment later.
      const look = async (): Promise<boolean> => (cut = await page.evaluate<string[]>(CUT)).length === 0;
      await eventually('nothing is cut off', look).catch(() => assert.deepEqual(cut, []));
    });
});
