import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Route } from 'playwright-core';
import { DAY, MINUTE } from '../../../src/kernel/time.js';
import { newId } from '../../../src/runtime/ids.js';
import { movedStream, sendStream } from '../../../src/sending/events.js';
import { assertAccessible, assertReflows, PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

describe('the screen of one block in a real browser', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  let id: string;

  before(async () => {
    server = await PageServer.start();
    id = await server.api.trip('bob@own.example');
    await server.api.post(`/api/v1/blocks/${id}/approve`, { note: 'phished' });
    await refused(120);
  });
  after(() => server.stop());

  /** Attempts that the block has refused, each recorded by itself. */
  async function refused(count: number): Promise<void> {
    const { deps, clock } = server.api;
    const events = Array.from({ length: count }, (_, n) => ({
      id: newId(),
      type: 'MessageRefused',
      at: clock.now(),
      by: 'smtp:test',
      data: {
        account: 'bob@own.example',
        returnPath: 'bob@own.example',
        ehlo: 'laptop.example',
        ip: '192.0.2.7',
        direction: 'outbound',
        block: id,
        stage: 'rcpt',
        count: 1,
        reply: '451 4.3.2 try again later',
        since: clock.now(),
        entitled: true,
        transaction: `${n}`,
      },
    }));
    const { position } = await deps.store.append(sendStream('bob@own.example'), events, 'any');
    await deps.models.reached(position);
  }

  test('says what got through, what was stopped, what clients were told, and who decided', async () => {
    const page = await server.open({ as: 'viewer', at: `/blocks/${id}` });
    await page.getByRole('heading', { name: 'account bob@own.example' }).waitFor();
    await page.getByText('120 attempts when a recipient was named').waitFor();
    await page.getByText('451 4.3.2 try again later').first().waitFor();
    const history = page.getByRole('region', { name: 'Who decided what' });
    await history.getByText('Rule burst proposed a block').waitFor();
    await history.getByText('the-admin approved the proposal').waitFor();
    await history.getByText('“phished”').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Release' }).count(), 0);
  });

  test('says what a sender had sent before a person blocked it', async () => {
    await server.api.sent('zoe@own.example', 60);
    await server.api.sent('zoe@own.example', 41);
    server.api.clock.advance(1000);
    const block = (await server.api.block('zoe@own.example'))['id'];
    const page = await server.open({ as: 'domain', at: `/blocks/${block}` });
    await page.getByText('in 2 messages of 2.0 kB together').waitFor();
    await page.getByText('Counted is the day before.').waitFor();
    await page.getByText('No refusal is on record.').waitFor();
  });

  test('lists refusals page by page', async () => {
    const page = await server.open({ as: 'viewer', at: `/blocks/${id}` });
    const region = page.getByRole('region', { name: 'Refusals' });
    await region.getByText('50 rows are shown.').waitFor();
    await region.getByRole('button', { name: 'Show more' }).click();
    await region.getByText('100 rows are shown.').waitFor();
    await region.getByRole('button', { name: 'Show more' }).press('Enter');
    await region.getByText('120 rows are shown.').waitFor();
    assert.equal(await region.getByRole('button', { name: 'Show more' }).count(), 0);
  });

  test('gives a letter to the customer to copy and to download', async () => {
    const page = await server.open({ as: 'domain', at: `/blocks/${id}` });
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.getByRole('button', { name: 'Letter to the customer' }).press('Enter');
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Dear customer').waitFor();
    await assertAccessible(page);
    await dialog.getByRole('button', { name: 'Copy' }).press('Enter');
    await page.getByText('Copied the letter.').waitFor();
    assert.match(await page.evaluate<string>('navigator.clipboard.readText()'), /Dear customer/);
    const download = page.waitForEvent('download');
    await dialog.getByRole('link', { name: 'Download' }).click();
    assert.equal((await download).suggestedFilename(), 'bob@own.example.txt');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Letter to the customer' }).and(page.locator(':focus')).waitFor();
  });

  test('changes the end, and releases, by keyboard alone', async () => {
    const block = (await server.api.block('eva@own.example'))['id'];
    const page = await server.open({ as: 'operator', at: `/blocks/${block}` });
    await page.getByRole('button', { name: 'Change its end' }).press('Enter');
    await page.getByLabel('From now on for').selectOption('24h');
    await page.getByRole('dialog').getByRole('button', { name: 'Change' }).press('Enter');
    await page.getByText('oscar made the block last longer').waitFor();
    await page.getByRole('button', { name: 'Release' }).press('Enter');
    await page.getByRole('dialog').getByRole('button', { name: 'Release' }).press('Enter');
    await page.getByText('oscar released it').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Release' }).count(), 0);
  });

  test('says what was not undone while the server was away, and undoes it when asked again', async () => {
    const block = (await server.api.block('net@own.example'))['id'];
    const page = await server.open({ as: 'operator', at: `/blocks/${block}` });
    await page.getByRole('button', { name: 'Release' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Release' }).click();
    await page.getByText('Released account net@own.example.').waitFor();
    const away = (route: Route): Promise<void> =>
      route.request().method() === 'POST' ? route.abort() : route.continue();
    await page.route('**/api/v1/blocks', away);
    const told = page.getByText(
      'This was not undone: “Released account net@own.example.” Stopgap does not answer.',
    );
    for (let times = 0; times < 2; times++) {
      await page.getByRole('button', { name: 'Undo' }).click();
      await told.waitFor();
    }
    await page.unroute('**/api/v1/blocks', away);
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.getByText('Blocked account net@own.example again.').waitFor();
    assert.equal(await told.count(), 0);
  });

  test('says in the history what clients are told from then on, where a person changed that', async () => {
    const subject = { type: 'account', value: 'ida@own.example' };
    const { id: block, until } = await server.api.block(subject.value);
    const asked = { subject, until, refusal: 'honest', direction: 'outbound' };
    assert.equal((await server.api.post('/api/v1/blocks', asked)).status, 200);
    const page = await server.open({ as: 'viewer', at: `/blocks/${block}` });
    await page.getByText('changed what clients are told (honest)').waitFor();
    assert.equal(await page.getByText('made the block last longer').count(), 0);
  });

  test('asks at the release what becomes of mail that a hook has held, however the block refuses', async () => {
    const block = (await server.api.block('kim@own.example'))['id'];
    await server.api.held(block, 'kim@own.example', 2);
    const page = await server.open({ as: 'operator', at: `/blocks/${block}` });
    await page.getByRole('button', { name: 'Release' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Mail that is held (2 messages)').selectOption('Deliver it');
    await dialog.getByRole('button', { name: 'Release' }).click();
    await page.getByText('oscar released it and asked for the held mail to be delivered').waitFor();
    const { json } = await server.api.get(`/api/v1/blocks/${block}`);
    assert.match(JSON.stringify(json), /"held":"release"/);
  });

  test('leaves at the release what was decided on held mail, says so, and keeps the mail where a person asks for it', async () => {
    const releasedWith = async (account: string, keeps: boolean): Promise<string> => {
      const block = (await server.api.block(account))['id'];
      await server.api.held(block, account, 2);
      await server.api.post(`/api/v1/blocks/${block}/held`, { action: 'delete' });
      const page = await server.open({ as: 'operator', at: `/blocks/${block}` });
      await page.getByText('2 of these are to be deleted, and no hook has done it.').waitFor();
      await page.getByRole('button', { name: 'Release' }).click();
      const dialog = page.getByRole('dialog');
      const choice = dialog.getByLabel('Mail that is held (2 messages)');
      await dialog.getByText('As was decided: delete it').waitFor({ state: 'attached' });
      if (keeps) await choice.selectOption('Keep it');
      await dialog.getByRole('button', { name: 'Release' }).click();
      const words = keeps ? ' and asked for the held mail to be kept' : '';
      await page.getByText(new RegExp(`oscar released it${words}$`)).waitFor();
      const { json } = await server.api.get(`/api/v1/blocks/${block}/held`);
      return JSON.stringify((json as unknown as { decided: unknown }).decided);
    };
    const decided = JSON.stringify({ action: 'delete', count: 2, failed: false });
    assert.equal(await releasedWith('pia@own.example', false), decided);
    assert.equal(await releasedWith('ria@own.example', true), 'null');
  });

  /** A block by a rule with mail that a hook has held, which is to be deleted. */
  async function toBeDeleted(account: string): Promise<string> {
    const block = await server.api.trip(account, 'block');
    await server.api.held(block, account, 3);
    await server.api.post(`/api/v1/blocks/${block}/held`, { action: 'delete' });
    return block;
  }
  const decidedOn = async (block: string): Promise<unknown> =>
    ((await server.api.get(`/api/v1/blocks/${block}/held`)).json as unknown as { decided: unknown }).decided;

  test('releases nothing before it knows what mail is held, and asks what becomes of that', async () => {
    const block = await toBeDeleted('slow@own.example');
    const page = await server.open({ as: 'operator', at: `/blocks/${block}` });
    let answer = (): void => undefined;
    const asked = new Promise<void>((resolve) => (answer = resolve));
    await page.route('**/held?*', async (route) => (await asked, route.continue()));
    await page.getByRole('button', { name: 'Release' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('The rule was wrong').check();
    await dialog.getByRole('button', { name: 'Release' }).click();
    await dialog.getByText('Asking what mail is held').waitFor();
    answer();
    await dialog.getByText('3 messages are held: say what becomes of them.').waitFor();
    assert.deepEqual(await decidedOn(block), { action: 'delete', count: 3, failed: false });
    await dialog.getByLabel('Mail that is held (3 messages)').selectOption('Delete it');
    await dialog.getByRole('button', { name: 'Release' }).click();
    await page.getByText('oscar released it').waitFor();
    assert.deepEqual(await decidedOn(block), { action: 'delete', count: 3, failed: false });
  });

  test('says where it cannot know what was decided on held mail, and changes that by no release unasked', async () => {
    const releasedWith = async (account: string, choice: string | undefined): Promise<unknown> => {
      const block = await toBeDeleted(account);
      const page = await server.open({ as: 'operator', at: `/blocks/${block}` });
      const body = { type: 'about:blank', title: 'x', status: 400, detail: 'The store does not answer.' };
      await page.route('**/held?*', (route) =>
        route.fulfill({ status: 400, contentType: 'application/problem+json', body: JSON.stringify(body) }),
      );
      await page.getByRole('button', { name: 'Release' }).click();
      const dialog = page.getByRole('dialog');
      await dialog.getByText('Stopgap cannot say what mail is held: The store does not answer.').waitFor();
      const held = dialog.getByLabel('Mail that is held');
      const offered = ['As was decided; else keep it', 'Keep it', 'Deliver it', 'Delete it'];
      assert.deepEqual(await held.getByRole('option').allInnerTexts(), offered);
      await assertAccessible(page);
      if (choice !== undefined) {
        await dialog.getByLabel('The rule was wrong').check();
        await dialog.getByRole('button', { name: 'Release' }).click();
        await dialog.getByText('Say what becomes of it where the rule was wrong.').waitFor();
        await held.selectOption(choice);
      }
      await dialog.getByRole('button', { name: 'Release' }).click();
      await page.getByText('oscar released it').waitFor();
      return decidedOn(block);
    };
    const decided = { action: 'delete', count: 3, failed: false };
    assert.deepEqual(await releasedWith('gone@own.example', undefined), decided);
    assert.deepEqual(await releasedWith('lost@own.example', 'Delete it'), decided);
    assert.equal(await releasedWith('kept@own.example', 'Keep it'), null);
  });

  test('says of a decision that another one replaced how much of it the hook had done', async () => {
    const account = 'sam@own.example';
    const block = (await server.api.block(account, { refusal: 'hold' }))['id'];
    await server.api.held(block, account, 3);
    const ran = { kind: 'hook', block, action: 'delete', cause: 1, outcome: 'replaced', output: '' } as const;
    const { position } = await server.api.deps.blockCommands.execute(
      { type: 'account', value: account },
      { ...ran, asked: 2, acted: 2 },
      { by: 'system:hook' },
    );
    await server.api.deps.models.reached(position);
    const page = await server.open({ as: 'viewer', at: `/blocks/${block}` });
    await page.getByText('had deleted 2 of 2 messages (by the hook) when another decision came').waitFor();
    assert.equal(await page.getByText('the hook failed').count(), 0);
  });

  test('says of mail that could not be held that it was refused, and nowhere that it was taken', async () => {
    const account = 'lea@own.example';
    const block = (await server.api.block(account, { refusal: 'hold' }))['id'];
    await server.api.refused(account, block, 'rcpt', 'HOLD');
    await server.api.refused(account, block, 'data', '451 4.7.1 try again later', { unheld: true });
    const full = { unheld: true, full: true } as const;
    await server.api.refused(account, block, 'rcpt', '451 4.7.1 try again later', full);
    const page = await server.open({ as: 'viewer', at: `/blocks/${block}` });
    await page.getByText('Mail that could not be held was refused 2 times').waitFor();
    await page.getByText('1 time that was since the block held as much as one may').waitFor();
    await page.getByText('Nothing where its mail can be held; else that the password is wrong').waitFor();
    const told = page.getByRole('table', { name: 'What clients were told' });
    assert.match(await told.innerText(), /451 4\.7\.1/);
    assert.doesNotMatch(await told.innerText(), /Nothing/);
  });

  test('says of mail that stayed on hold for another block where that is decided', async () => {
    const block = (await server.api.block('mia@own.example', { refusal: 'hold' }))['id'];
    await server.api.held(block, 'mia@own.example', 2);
    const { blockCommands, models, store } = server.api.deps;
    const data = { block, to: 'another', transaction: 'q1', revision: 0 };
    const moved = { id: newId(), type: 'HeldMailMoved', at: server.api.clock.now(), by: 'system:hook', data };
    await store.append(movedStream(block), [moved], 'any');
    const ran = { kind: 'hook', block, action: 'release', cause: 1, outcome: 'done', output: '' } as const;
    const { position } = await blockCommands.execute(
      { type: 'account', value: 'mia@own.example' },
      { ...ran, asked: 1, acted: 1, moved: 1, through: 1 },
      { by: 'system:hook' },
    );
    await models.reached(position);
    const page = await server.open({ as: 'viewer', at: `/blocks/${block}` });
    await page.getByText('1 message stayed on hold for other blocks of the sender').waitFor();
    await page.getByText('0 messages are still held for this block').waitFor();
  });

  test('says how much of held mail was deleted before the hook was given up, and that it was tried', async () => {
    const account = 'zoe@own.example';
    const block = (await server.api.block(account, { refusal: 'hold' }))['id'];
    await server.api.held(block, account, 3);
    const { blockCommands, models } = server.api.deps;
    const ran = { kind: 'hook', block, action: 'delete', cause: 1, outcome: 'failed', output: '' } as const;
    const { position } = await blockCommands.execute(
      { type: 'account', value: account },
      { ...ran, asked: 2, acted: 2 },
      { by: 'system:hook' },
    );
    await models.reached(position);
    const page = await server.open({ as: 'viewer', at: `/blocks/${block}` });
    const told = '3 messages are listed as held for this block: 2 of these were deleted already.';
    await page.getByText(told).waitFor();
    await page.locator('.panel').getByText('Nothing was refused.').waitFor();
    assert.equal(await page.getByText('Nothing was tried').count(), 0);
  });

  test('words a decision on held mail as a wish, and what the hook did as a deed', async () => {
    const account = 'noa@own.example';
    const block = (await server.api.block(account, { refusal: 'hold' }))['id'];
    await server.api.held(block, account, 2);
    const page = await server.open({ as: 'operator', at: `/blocks/${block}` });
    await page.getByRole('button', { name: 'Delete it…' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete it' }).click();
    await page.getByText('2 held messages are to be deleted.').waitFor();
    await page.getByText('oscar asked for the held mail to be deleted').waitFor();
    const { blockCommands, models } = server.api.deps;
    const ran = { kind: 'hook', block, action: 'delete', cause: 1, outcome: 'done', output: '' } as const;
    const { position } = await blockCommands.execute(
      { type: 'account', value: account },
      { ...ran, asked: 2, acted: 2, through: 1 },
      { by: 'system:hook' },
    );
    await models.reached(position);
    await page.getByText('had deleted 2 of 2 messages (by the hook)').waitFor();
    const changes = await server.open({ as: 'viewer', at: '/changes' });
    const row = changes.getByRole('row').filter({ hasText: account });
    await row.getByText('Asked for held mail to be deleted').waitFor();
  });

  test('offers the administrator of a domain no decision on held mail where some is of others', async () => {
    const subject = { type: 'address', value: 'both@own.example' } as const;
    const block = (await server.api.block('', { subject, refusal: 'hold' }))['id'];
    await server.api.held(block, 'both@own.example', 1);
    await server.api.held(block, 'carol@foreign.example', 1);
    const page = await server.open({ as: 'domain', at: `/blocks/${block}` });
    await page.getByText('An operator decides on it: mail of other domains is held too.').waitFor();
    assert.equal(await page.getByRole('button', { name: /^(?:Deliver|Delete) it/ }).count(), 0);
    await page.getByRole('button', { name: 'Release' }).click();
    const choice = page.getByRole('dialog').getByLabel('Mail that is held (1 message)');
    assert.equal(await choice.innerText(), 'Keep it for now');
  });

  test('says to the administrator of a domain that a hook was called, and not for how much mail of others', async () => {
    const subject = { type: 'address', value: 'shared@own.example' } as const;
    const block = (await server.api.block('', { subject, refusal: 'hold' }))['id'];
    const { blockCommands, models } = server.api.deps;
    const ran = { kind: 'hook', block, action: 'release', cause: 1, outcome: 'done' } as const;
    const { position } = await blockCommands.execute(
      subject,
      { ...ran, asked: 77, acted: 77, output: 'released 4FOR1' },
      { by: 'system:hook' },
    );
    await models.reached(position);
    const page = await server.open({ as: 'domain', at: `/blocks/${block}` });
    await page.getByText('called the hook to have mail delivered').waitFor();
    assert.doesNotMatch(await page.locator('body').innerText(), /77 of 77|4FOR1/);
    const list = await server.open({ as: 'domain', at: '/blocks' });
    const row = list.getByRole('row').filter({ hasText: subject.value });
    assert.match(await row.innerText(), /–/);
  });

  test('says that a block is unknown, and offers a search', async () => {
    const page = await server.open({ as: 'domain', at: '/blocks/0198-not-there' });
    await page.getByRole('heading', { name: 'There is no such block' }).waitFor();
    await page.getByLabel('Search all blocks').fill('bob');
    await page.getByLabel('Search all blocks').press('Enter');
    await page.getByRole('link', { name: 'bob@own.example', exact: true }).waitFor();
  });

  test('shows the rest of the block while its report cannot be read', async () => {
    const page = await server.open({ as: 'viewer' });
    await page.route('**/report?*', (route) => route.fulfill({ status: 503, body: '' }));
    await page.evaluate(`location.hash = '/blocks/${id}'`);
    await page.getByText('Rule burst proposed a block').waitFor();
    await page.getByRole('alert').waitFor();
    await page.unroute('**/report?*');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('120 attempts when a recipient was named').waitFor();
  });

  test('has no fault that axe knows, in light and dark colours', async () => {
    const page = await server.open({ as: 'admin', at: `/blocks/${id}` });
    await page.getByText('50 rows are shown.').waitFor();
    await page.getByText('120 attempts when').waitFor();
    await assertAccessible(page);
  });

  test('fits a screen of 320 pixels', async () => {
    const page = await server.open({ as: 'admin', at: `/blocks/${id}` });
    await page.getByText('50 rows are shown.').waitFor();
    await page.getByText('120 attempts when').waitFor();
    await assertReflows(page);
  });

  test('calls under way what was, and says of what came later that it went past the block, and why it may', async () => {
    const past = (await server.api.block('past@own.example'))['id'];
    await server.api.sent('past@own.example', 3);
    server.api.clock.advance(28 * MINUTE);
    await server.api.sent('past@own.example', 60);
    const page = await server.open({ as: 'viewer', at: `/blocks/${past}` });
    const through = page.locator('.panel').filter({ hasText: 'Got through after' });
    await through.getByText('63 recipients').waitFor();
    await through.getByText('These messages were under way when it began.').waitFor();
    await through.getByText('Stopgap was not running or not reachable then').waitFor();
    await page.locator('.panel').getByText('Nothing was refused.').waitFor();
    assert.equal(await page.getByText('Nothing was tried').count(), 0);
    await assertAccessible(page);
  });

  test('says that what an old block let through and stopped is not kept any more, not that there was nothing', async () => {
    await server.api.sent('longago@own.example', 60);
    const old = (await server.api.block('longago@own.example'))['id'];
    await server.api.post(`/api/v1/blocks/${old}/release`, {});
    server.api.clock.advance(server.api.deps.retention.sends + DAY);
    const page = await server.open({ as: 'domain', at: `/blocks/${old}` });
    await page.getByText(/^What was sent and refused before .* is not kept any more\.$/).waitFor();
    for (const title of ['Got through before', 'Got through after', 'Stopped'])
      await page.locator('.panel').filter({ hasText: title }).getByText('Not known').waitFor();
    for (const wrong of [
      'Nothing is known to have got past the block.',
      'Nothing was tried',
      'Counted is the day before.',
    ])
      assert.equal(await page.getByText(wrong).count(), 0, wrong);
  });
});
