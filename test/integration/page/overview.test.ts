import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { HOUR, MINUTE } from '../../../src/kernel/time.js';
import { assertAccessible, assertReflows, PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

describe('the overview in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  before(async () => {
    server = await PageServer.start();
  });
  after(() => server.stop());

  test('of a fresh server says that nothing is burning, and how mail comes here', async () => {
    const page = await server.open({ as: 'viewer' });
    await page.getByText('Nothing is burning.').waitFor();
    await page.getByRole('heading', { name: 'First steps' }).waitFor();
    await page.getByText('npx stopgap simulate').waitFor();
    await page.getByText('Nobody has decided anything yet.').waitFor();
    await assertAccessible(page);
    await assertReflows(page);
  });

  test('does not go on saying that nothing is burning once the server does not answer', async () => {
    const page = await server.open({ as: 'viewer' });
    await page.getByText('Nothing is burning.').waitFor();
    await page.route('**/api/v1/overview', (route) => route.abort());
    await page.clock.runFor(20_000);
    await page.getByText('Stopgap does not answer.').waitFor();
    await page.getByText('Nothing is burning.').waitFor({ state: 'detached' });
  });

  test('does not say that nothing is burning while nothing stops a sender over its limit, and names it', async () => {
    await server.api.sent('flood@example.com', 120);
    server.api.clock.advance(MINUTE);
    const page = await server.open({ as: 'viewer' });
    await page.getByText('1 sender is over a limit, and nothing stops it').waitFor();
    await page.getByRole('status').getByRole('link', { name: 'flood@example.com' }).waitFor();
    assert.equal(await page.getByText('Nothing is burning.').count(), 0);
    await assertAccessible(page);
    await assertReflows(page);
    const { id } = (await server.api.block('flood@example.com')) as unknown as { id: string };
    await server.api.post(`/api/v1/blocks/${id}/release`);
  });

  test('does not say that what is blocked is contained while mail goes past a block, and names its sender', async () => {
    const { id } = (await server.api.block('past@example.com')) as unknown as { id: string };
    server.api.clock.advance(28 * MINUTE);
    await server.api.sent('past@example.com', 60);
    const page = await server.open({ as: 'viewer' });
    await page.getByText('1 sender is blocked, and its mail has gone past the block').waitFor();
    await page.getByRole('status').getByRole('link', { name: 'past@example.com' }).waitFor();
    assert.equal(await page.getByText('Nothing is burning.').count(), 0);
    await assertAccessible(page);
    await assertReflows(page);
    await server.api.post(`/api/v1/blocks/${id}/release`);
  });

  test('does not say that nothing is burning while held mail waits for a decision, and leads to its block', async () => {
    const { id } = (await server.api.block('held@example.com')) as unknown as { id: string };
    await server.api.held(id, 'held@example.com', 2);
    await server.api.post(`/api/v1/blocks/${id}/release`);
    const page = await server.open({ as: 'viewer' });
    await page.getByText('Mail is still on hold for a block that has ended').waitFor();
    assert.equal(await page.getByText('Nothing is burning.').count(), 0);
    await assertAccessible(page);
    await assertReflows(page);
    await page.getByRole('status').getByRole('link', { name: 'held@example.com' }).click();
    await page.waitForURL(new RegExp(`#/blocks/${id}$`));
    await server.api.post(`/api/v1/blocks/${id}/held`, { action: 'delete' });
  });

  describe('with mail, a block and a proposal', () => {
    before(async () => {
      await server.api.sent('busy@example.com', 60);
      await server.api.sent('eve@own.example', 3);
      await server.api.block('ann@example.com', { description: 'phished' });
      await server.api.trip('bob@example.com');
      await server.api.trip('dan@own.example');
    });

    test('leads to what waits, to the blocks and to the busiest sender', async () => {
      const page = await server.open({ as: 'operator' });
      const busiest = page.getByRole('table', { name: 'Busiest senders' });
      await busiest.getByRole('link', { name: 'busy@example.com' }).waitFor();
      assert.equal(await page.getByText('Nothing is burning.').count(), 0);
      await page.getByRole('link', { name: '1 blocks in force' }).waitFor();
      await page.getByText('Each can be released at once.').waitFor();
      await page.getByRole('link', { name: '2 waiting proposals' }).focus();
      await page.keyboard.press('Enter');
      await page.waitForURL(/#\/proposals$/);
      await page.goBack();
      await busiest.getByRole('link', { name: 'busy@example.com' }).press('Enter');
      await page.getByRole('heading', { name: 'busy@example.com' }).waitFor();
    });

    test('shows what others do without being asked', async () => {
      const page = await server.open({ as: 'viewer' });
      await page.getByRole('link', { name: '1 blocks in force' }).waitFor();
      assert.equal(await page.getByText('released at once').count(), 0, 'it may release none');
      await page.getByText('Live').waitFor();
      const { id } = (await server.api.block('late@example.com')) as unknown as { id: string };
      await page.getByRole('link', { name: '2 blocks in force' }).waitFor();
      await page.getByRole('link', { name: 'late@example.com' }).first().waitFor();
      await server.api.post(`/api/v1/blocks/${id}/release`);
    });

    test('shows the administrator of a domain that domain alone', async () => {
      const page = await server.open({ as: 'domain' });
      await page.getByRole('link', { name: '1 waiting proposals' }).waitFor();
      await page.getByRole('link', { name: 'eve@own.example' }).waitFor();
      const text = await page.locator('main').innerText();
      assert.doesNotMatch(text, /example\.com|Circuit breaker/);
      await page.getByText('Of own.example').waitFor();
    });

    test('says what is wrong behind it also where a reverse proxy passes no /healthz', async () => {
      const { health } = server.api;
      const before = { ...health };
      Object.assign(health, { relay: 'failing', status: 'degraded' });
      const page = await server.open({ as: 'viewer', at: '/people' });
      await page.route('**/healthz', (route) => route.fulfill({ status: 403, body: 'Forbidden' }));
      await page.goto(`${server.api.url}#/`);
      await page.getByRole('heading', { name: 'Blocks in force' }).waitFor();
      await page.getByText('The mail server behind Stopgap does not answer.').waitFor();
      assert.equal(await page.getByText('Nothing is burning.').count(), 0);
      Object.assign(health, before);
    });

    test('says in words what is wrong behind it, and what to do', async () => {
      const { health } = server.api;
      const before = { ...health };
      Object.assign(health, { relay: 'failing', store: 'failing', status: 'degraded' });
      const page = await server.open({ as: 'viewer' });
      await page.getByText('The mail server behind Stopgap does not answer.').waitFor();
      await page.getByText('The store does not take what happens.').waitFor();
      await assertAccessible(page);
      Object.assign(health, before);
    });

    test('says of a mail server that left a message unanswered just that, and not that everybody is put off', async () => {
      const { health } = server.api;
      const before = { ...health };
      Object.assign(health, { relay: 'unanswered', status: 'degraded' });
      const page = await server.open({ as: 'viewer' });
      const trouble = page.getByText('has not answered the last message that it was sent.');
      await trouble.waitFor();
      const text = await page.locator('main').innerText();
      assert.doesNotMatch(text, /Everybody|does not answer\.|Nothing is burning/);
      await assertAccessible(page);
      Object.assign(health, before);
    });

    test('says so when the server fails, and tries again when asked', async () => {
      const page = await server.open({ as: 'viewer', at: '/blocks' });
      await page.getByRole('table').waitFor();
      const problem = { type: 'about:blank', title: 'x', status: 503, detail: 'The store is away.' };
      await page.route('**/api/v1/overview', (route) =>
        route.fulfill({
          status: 503,
          contentType: 'application/problem+json',
          body: JSON.stringify(problem),
        }),
      );
      await page.getByRole('link', { name: 'Overview' }).click();
      await page.getByRole('alert').getByText('The store is away.').waitFor();
      await page.unroute('**/api/v1/overview');
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.getByRole('heading', { name: 'Busiest senders' }).waitFor();
    });

    test('has no fault that axe knows, in light and dark colours, and fits 320 pixels', async () => {
      const page = await server.open({ as: 'admin' });
      await page.getByRole('table', { name: 'Busiest senders' }).waitFor();
      await assertAccessible(page);
      await assertReflows(page);
    });

    test('of a past instant shows what waited then, and says what is only known of now', async () => {
      const at = new Date(server.api.clock.now() - HOUR).toISOString();
      const page = await server.open({ as: 'viewer', at: `/?at=${at}` });
      await page.getByRole('link', { name: '0 blocks in force' }).waitFor();
      await page.getByText('only known of now').waitFor();
      assert.equal(await page.getByRole('heading', { name: 'Busiest senders' }).count(), 0);
    });

    test('says since when no mail has come, and that a circuit breaker is open', async () => {
      server.api.clock.advance(20 * MINUTE);
      const { max } = server.api.deps.models.sendVolume.rules.maxAutomaticBlocks;
      for (let index = 0; index < max; index++) await server.api.trip(`mass${index}@example.com`, 'block');
      const page = await server.open({ as: 'viewer' });
      await page.getByText('No mail seen since').waitFor();
      await page.getByText('Open', { exact: true }).waitFor();
      await page.getByText('they only propose').waitFor();
    });
  });
});
