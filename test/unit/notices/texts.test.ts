import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HOUR } from '../../../src/kernel/time.js';
import type { Item, Notice } from '../../../src/notices/events.js';
import { requestOf } from '../../../src/notices/formats.js';
import { textOf } from '../../../src/notices/texts.js';
import { NOON } from '../../support/manual-clock.js';
import { channelOf } from '../../support/notices/channels.js';

const URL = 'https://stopgap.example.com';
const TEXTS = [
  'imposed={subject} may not send until {until}, says {rule}.\n{sentence}\nNote of {by}: {note}\nUndo it: {link}',
];
const ITEM: Item = {
  event: 'imposed',
  position: 7,
  at: NOON,
  by: 'admin:alice',
  block: 'b1',
  until: NOON + HOUR,
  subject: { type: 'account', value: 'bob@example.com' },
  rule: 'burst',
  why: '101 of 100 <b>*[x](http://evil.example)*</b>\n',
  note: 'called & {link}',
};
const noticeOf = (item: Item, to?: string): Notice => ({
  id: 'n',
  kind: 'events',
  at: NOON,
  items: [item],
  counts: { [item.event]: 1 },
  ...(to === undefined ? {} : { to }),
});
const texts = channelOf({ type: 'slack', secret: undefined, texts: TEXTS }).texts!;
const linesOf = (item: Item, { to, url = URL }: { to?: string; url?: string | undefined } = {}) =>
  textOf(noticeOf(item, to), url, texts).lines;

describe('the own texts of a channel', () => {
  test('say what happened by placeholders; what is put in is of one line, and holds no placeholder', () => {
    assert.deepEqual(linesOf(ITEM), [
      'account bob@example.com may not send until 2026-03-01T13:00:00.000Z, says burst.',
      '101 of 100 <b>*[x](http://evil.example)*</b>\ufffd',
      'Note of alice: called & {link}',
      `Undo it: ${URL}/#/blocks/b1`,
    ]);
  });

  test('leave out a line that names what there is not', () => {
    const { rule: _rule, note: _note, ...bare } = ITEM;
    assert.deepEqual(textOf(noticeOf({ ...bare, why: 'phished' }), undefined, texts).lines, ['phished']);
  });

  test('do not tell owners who decided, what was noted, nor where the page is', () => {
    assert.deepEqual(linesOf(ITEM, { to: 'bob@home.example' }).slice(2), []);
  });

  test('give way to the built-in lines for other events, and where nothing of them is left', () => {
    assert.match(linesOf({ ...ITEM, event: 'approved' })[0]!, /proposal approved at .* by alice\.$/);
    const { rule: _rule, until: _until, ...bare } = ITEM;
    assert.match(linesOf(bare, { to: 'bob@home.example' })[0]!, /sender blocked at [^ ]+\.$/);
  });

  test('name the link once in what people read as text, and keep that of a list beside those of its items', () => {
    const several = { ...noticeOf(ITEM), items: [ITEM, { ...ITEM, block: 'b2' }], counts: { imposed: 2 } };
    const count = (text: string, link: string): number => text.split(link).length - 1;
    for (const type of ['slack', 'matrix']) {
      const url = 'https://m.example/_matrix/client/v3/rooms/!abc:m.example';
      const channel = channelOf({ type, url, secret: type === 'matrix' ? 'token' : undefined, texts: TEXTS });
      const bodyOf = (notice: Notice): string => requestOf(channel, notice, URL, NOON).body;
      assert.equal(count(bodyOf(noticeOf(ITEM)), `${URL}/#/blocks/b1`), 1, type);
      assert.equal(count(bodyOf(several), `${URL}/#/blocks`), 3, type);
      const without = { ...ITEM, event: 'released' as const };
      assert.equal(count(bodyOf(noticeOf(without)), `${URL}/#/blocks/b1`), 1, type);
    }
  });

  test('are made harmless by each channel as the built-in ones are', () => {
    const sent = (type: string) => {
      const url = 'https://m.example/_matrix/client/v3/rooms/!abc:m.example';
      const channel = channelOf({ type, url, secret: type === 'matrix' ? 'token' : undefined, texts: TEXTS });
      return requestOf(channel, noticeOf(ITEM), URL, NOON).body;
    };
    assert.match(sent('slack'), /101 of 100 &lt;b&gt;\*\[x\]/);
    assert.match(sent('slack'), /Note of alice: called &amp; \{link\}/);
    assert.match(sent('teams'), /\\\\<b\\\\>\\\\\*\\\\\[x\\\\\]\\\\\(http/);
    for (const type of ['ntfy', 'matrix']) assert.match(sent(type), /may not send until/);
  });
});

describe('what an owner is told of a password', () => {
  const { note: _note, ...plain } = ITEM;
  const [address, domain] = [
    { type: 'address', value: 'boss@o5.example' },
    { type: 'domain', value: 'o5.example' },
  ] as const;
  const told = (change: Partial<Item>): boolean =>
    /password/.test(textOf(noticeOf({ ...plain, ...change }, 'boss@home.example'), URL).lines.join('\n'));

  for (const event of ['imposed', 'approved', 'proposed'] as const)
    test(`is not said where it is strangers whose mail counts, of what is ${event}`, () => {
      for (const subject of [address, domain]) {
        assert.ok(!told({ event, subject, direction: 'inbound' }));
        assert.ok(!told({ event, subject, direction: 'all' }), 'a forged return path counts too');
        assert.ok(told({ event, subject, direction: 'outbound' }));
        assert.ok(told({ event, subject }), 'older versions recorded no direction');
      }
      assert.ok(told({ event, direction: 'outbound' }), 'of an account');
      assert.ok(told({ event, direction: 'all' }), 'of an account');
    });

  test('is said where a person has blocked the sender in all directions', () => {
    const { rule: _rule, ...byHand } = plain;
    const notice = noticeOf({ ...byHand, subject: address, direction: 'all' }, 'boss@home.example');
    assert.match(textOf(notice, URL).lines.join('\n'), /password/);
  });
});

describe('a block that is over before anybody was told', () => {
  const over = { event: 'released', at: NOON + HOUR / 2, by: 'admin:alice' } as const;
  const { note: _note, ...plain } = { ...ITEM, by: 'rule:burst@1', why: 'too many', over };
  const built = (item: Item, to?: string) => textOf(noticeOf(item, to), URL);

  test('is told as over, with who released it and no command', () => {
    assert.deepEqual(built(plain).lines, [
      'account bob@example.com: sender blocked at 2026-03-01T12:00:00.000Z by rule burst.',
      'Why: too many',
      'It is over: released at 2026-03-01T12:30:00.000Z by alice.',
    ]);
    const expired = built({ ...plain, over: { ...over, event: 'expired' } }).lines.at(-1);
    assert.equal(expired, 'It is over: it ran out at 2026-03-01T12:30:00.000Z.');
  });

  test('is in the title, with how many of several', () => {
    const notice = { ...noticeOf(plain), over: { imposed: 1 } };
    const { title } = textOf(notice, URL);
    assert.equal(title, 'Stopgap: sender blocked (over already): account bob@example.com');
    const several = { ...notice, counts: { proposed: 1, imposed: 8 }, over: { imposed: 6 } };
    const many = textOf(several, URL).title;
    assert.equal(many, 'Stopgap: block proposed, 8 senders blocked (6 of them over already)');
  });

  test('is told to owners without who released it, and without what to do unless time ran out', () => {
    const owner = 'bob@home.example';
    const released = built(plain, owner).lines.at(-1);
    assert.equal(released, 'It is over: released at 2026-03-01T12:30:00.000Z.');
    assert.match(built({ ...plain, over: { ...over, event: 'expired' } }, owner).lines.at(-1)!, /change it/);
  });

  test('is told as over by own texts too, which give no end that is no more', () => {
    assert.deepEqual(linesOf(plain), [
      'too many',
      `Undo it: ${URL}/#/blocks/b1`,
      'It is over: released at 2026-03-01T12:30:00.000Z by alice.',
    ]);
  });
});
