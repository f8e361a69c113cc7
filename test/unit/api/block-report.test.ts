import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { BlockEntry } from '../../../projections/blocks/block-entry.js';
import { BlockLedger } from '../../../projections/blocks/block-ledger.js';
import { blockLetter } from '../../../src/api/block-letter.js';
import { ContainmentReport } from '../../../src/api/block-report.js';
import type { Findings, ReportJson } from '../../../src/api/block-report.js';
import { blockView } from '../../../src/api/block-view.js';
import type { BlockEvent, BlockFact, Evidence } from '../../../src/blocks/events.js';
import type { RecordedEvent } from '../../../src/kernel/events.js';
import { HOUR, MINUTE, SECOND } from '../../../src/kernel/time.js';
import type { MessageRefused } from '../../../src/sending/events.js';
import { AS_WRONG_PASSWORD } from '../../../src/smtp/replies.js';
import type { Direction, SubjectType } from '../../../src/sending/subjects.js';
import { blockEvent, event, sent } from '../../support/sends.js';

const T0 = Date.UTC(2026, 2, 1, 12);
const BEGIN = 100;
const TURNED = 120;
const END = 200;

/**
 * A block that began at position 100 and was released at 200.
 *
 * @param counted what else its evidence says; null: it has none
 * @param turned the direction that it has from position 120 on
 */
function entryOf(
  type: SubjectType,
  value: string,
  direction: Direction = 'outbound',
  counted: Partial<Evidence> | null = {},
  turned?: Direction,
): BlockEntry {
  const ledger = new BlockLedger();
  const apply = (fact: BlockFact, at: number, position: number): void =>
    ledger.apply({ ...blockEvent(fact, at, position), revision: position === BEGIN ? 0 : 1 } as BlockEvent);
  const evidence = {
    rule: 'burst',
    version: 1,
    count: 'messages',
    window: HOUR,
    limit: 2,
    observed: 3,
    firstPosition: 10,
    lastPosition: 12,
    lastAt: T0,
    sentence: 'too many',
    ...counted,
  };
  const terms = { subject: { type, value }, direction, description: '', refusal: 'soft' } as const;
  const how = { origin: 'rule', rule: 'burst', renewWhileTrying: false, until: T0 + 9 * HOUR } as const;
  const data = { block: 'b1', ...terms, ...how, ...(counted === null ? {} : { evidence }) };
  apply({ type: 'BlockImposed', data }, T0 + MINUTE, BEGIN);
  if (turned !== undefined) {
    const more = { block: 'b1', until: how.until, direction: turned };
    apply({ type: 'BlockExtended', data: more }, T0 + 25 * MINUTE, TURNED);
  }
  apply({ type: 'BlockReleased', data: { block: 'b1', falsePositive: false } }, T0 + HOUR, END);
  return ledger.get('b1')!;
}

function refused(position: number, more: Partial<MessageRefused> = {}): RecordedEvent {
  const at = T0 + position * SECOND;
  const data: MessageRefused = {
    stage: 'rcpt',
    block: 'b1',
    reply: '451 4.7.1 Try again later',
    count: 1,
    since: at,
    account: 'alice@example.com',
    direction: 'outbound',
    ...more,
  };
  return event('MessageRefused', data, at, position);
}

/** It was to be held, and could not be. */
const unheld = (position: number, more: Partial<MessageRefused> = {}): RecordedEvent =>
  refused(position, { stage: 'data', unheld: true, ...more });

/**
 * @param held queue ids of what was held for any block
 * @param moved revisions of what is held for other blocks since
 */
function reportOf(
  entry: BlockEntry,
  events: readonly RecordedEvent[],
  held: readonly string[] = [],
  moved: readonly number[] = [],
): Findings {
  const past = { wasHeld: (transaction: string) => held.includes(transaction) };
  const report = new ContainmentReport(entry, past, new Set(moved));
  for (const one of events) report.apply(one);
  return report.findings();
}

/** What got through after the block had begun: what was under way, and what went past it. */
const messagesOf = ({ after, past }: Findings): number[] => [after.messages, past.messages];

const NONE_ELSEWHERE = { released: 0, deleted: 0, waiting: 0 };

type HeldSums = Partial<ReportJson['held']> & Findings['held'];

function letterOf(
  entry: BlockEntry,
  { held, ...found }: Omit<Findings, 'held'> & { readonly held: HeldSums },
): string {
  const whole = { waiting: 0, decided: null, elsewhere: NONE_ELSEWHERE, others: false, ...held };
  return blockLetter(
    { block: blockView(entry, T0, () => true), ...found, held: whole, coveredUntil: null, keptSince: null },
    undefined,
    { byHook: 0, byHand: 0 },
  );
}

const ALICE = entryOf('account', 'alice@example.com');

describe('a containment report', () => {
  test('counts recipients that were told of later, and no other message', () => {
    const found = reportOf(ALICE, [
      sent(T0, 10, { recipients: 2 }),
      sent(T0 + 2 * MINUTE, 101, { recipients: 118, size: 0, further: true }),
    ]);
    const { messages, recipients, first } = found.after;
    assert.deepEqual([messages, recipients, first], [0, 118, '2026-03-01T12:02:00.000Z']);
    assert.deepEqual(found.sources, [{ ip: '192.0.2.7', messages: 1, recipients: 120 }]);
    assert.match(
      letterOf(ALICE, { ...found, held: { ...found.held, waiting: 0 } }),
      /Already on their way when we stopped it: 118 recipients, /,
    );
  });

  test('counts what got through from the onset to the block, and what was under way, apart', () => {
    const found = reportOf(ALICE, [
      sent(T0 - HOUR, 9, { recipients: 50 }),
      sent(T0, 10, { recipients: 2 }),
      sent(T0 + 1, 11, { recipients: 3 }),
      sent(T0 + 2, 12, { account: 'bob@example.com', returnPath: 'bob@example.com' }),
      event('RecipientsRefused', { ...SENDER, count: 4, code: 550 }, T0 + 3, 13),
      event('BounceReceived', { address: 'alice@example.com' }, T0 + 4, 14),
      sent(T0 + MINUTE, 101, { recipients: 7 }),
      sent(T0 + 2 * HOUR, 201, { recipients: 90 }),
    ]);
    assert.deepEqual(found.onset, { at: '2026-03-01T12:00:00.000Z', position: 10 });
    assert.deepEqual(
      [found.before?.messages, found.before?.recipients, found.before?.refusedRecipients, found.bounces],
      [2, 5, 4, 1],
    );
    assert.deepEqual(
      [found.before?.first, found.before?.last],
      ['2026-03-01T12:00:00.000Z', '2026-03-01T12:00:00.001Z'],
    );
    assert.deepEqual([found.after.messages, found.after.recipients], [1, 7]);
    assert.deepEqual(found.sources, [{ ip: '192.0.2.7', messages: 3, recipients: 12 }]);
  });

  test('tells what went past the block from what was under way when it began, however late that is reported', () => {
    const waited = { outboxedAt: T0 + 30 * SECOND } as object;
    const found = reportOf(ALICE, [
      sent(T0, 10),
      sent(T0 + 30 * SECOND, 101, { recipients: 2, ...waited }, { recordedAt: T0 + 20 * MINUTE }),
      sent(T0 + 2 * MINUTE, 102, { recipients: 3 }),
      sent(T0 + 29 * MINUTE, 103, { recipients: 60 }),
      sent(T0 + 30 * MINUTE, 104, { recipients: 60 }),
    ]);
    const { after, past, pastWhy } = found;
    assert.deepEqual([after.messages, after.recipients], [2, 5]);
    assert.deepEqual([past.messages, past.recipients], [2, 120]);
    assert.equal(past.first, '2026-03-01T12:29:00.000Z');
    assert.match(
      pastWhy!,
      /Stopgap was not running or not reachable then, was not asked about that mail, or was not heard: see docs\/run/,
    );
    const letter = letterOf(ALICE, found);
    assert.match(letter, /^we stopped mail from the account .* Some of it was sent all the same\.$/m);
    assert.match(letter, /^- Already on their way when we stopped it: 2 messages to 5 recipients, /m);
    assert.match(
      letter,
      /^- Sent all the same, by a way that we had not stopped: 2 messages to 120 recipients, between 1 March 2026 at 12:29 UTC and /m,
    );
    assert.doesNotMatch(letterOf(ALICE, reportOf(ALICE, [sent(T0 + MINUTE, 101)])), /all the same/);
  });

  test('calls nothing past the block that our own listener had asked about, and whose upstream answered late', () => {
    const slow = sent(T0 + 12 * MINUTE, 101);
    assert.deepEqual(messagesOf(reportOf(ALICE, [slow])), [1, 0]);
    assert.deepEqual(messagesOf(reportOf(ALICE, [{ ...slow, by: 'policy:mx' }])), [0, 1]);
  });

  test('calls nothing past the block that was held, and nothing let go that was not', () => {
    const decided = { ...ALICE.history[1]!, type: 'HeldMailDecided', at: T0 + 20 * MINUTE } as const;
    const entry = { ...ALICE, history: [ALICE.history[0]!, { ...decided, held: 'release' as const }] };
    const events = [
      sent(T0 + 21 * MINUTE, 102, { transaction: 'Q1' }),
      sent(T0 + 22 * MINUTE, 103, { transaction: 'Q2' }),
    ];
    const found = reportOf(entry, events, ['Q1']);
    assert.deepEqual(messagesOf(found), [1, 1]);
    assert.match(letterOf(entry, found), /when we stopped it, or held and sent on later: 1 message to /);
    const none = reportOf(entry, [sent(T0 + SECOND, 101), ...events]);
    assert.deepEqual([...messagesOf(none), none.letGo], [1, 2, false]);
  });

  test('counts nothing that a program of the mail server forwarded under a blocked return path', () => {
    const forwarded = sent(T0 + 30 * MINUTE, 101, { account: 'uid-33@mx' });
    assert.deepEqual(messagesOf(reportOf(entryOf('domain', 'example.com'), [forwarded])), [0, 0]);
    assert.deepEqual(messagesOf(reportOf(entryOf('account', 'uid-33@mx'), [forwarded])), [0, 1]);
  });

  test('says by the direction that a block had then which mail went past it', () => {
    const from = { account: undefined, returnPath: 'eve@third.example' };
    const outbound = { ...(from as object), direction: 'outbound' as const };
    const inbound = { ...(from as object), direction: 'inbound' as const };
    const events = [
      sent(T0 + 20 * MINUTE, 110, outbound),
      sent(T0 + 21 * MINUTE, 111, inbound),
      // This one was under way when the block took in mail that is sent.
      sent(T0 + 26 * MINUTE, 121, outbound),
      sent(T0 + 40 * MINUTE, 122, outbound),
      // A block that is not of mail that arrives alone lets it show no way past.
      sent(T0 + 41 * MINUTE, 123, inbound),
    ];
    const countsOf = (counted: Partial<Evidence> | null): unknown[] => {
      const found = reportOf(entryOf('domain', 'third.example', 'inbound', counted, 'all'), events);
      return [found.before?.messages, ...messagesOf(found), found.sources[0]!.messages];
    };
    assert.deepEqual(countsOf({}), [1, 1, 2, 4]);
    assert.deepEqual(countsOf(null), [undefined, 1, 2, 3]);
  });

  test('says when it may have begun, since the evidence may count only later sends', () => {
    const found = reportOf(ALICE, [sent(T0, 10), sent(T0 + 1, 11)]);
    const letter = letterOf(ALICE, { ...found, held: { ...found.held, waiting: 0 } });
    assert.match(letter, /It may have begun at 1 March 2026/);
    assert.doesNotMatch(letter, /It began/);
  });

  test('has no onset where the evidence counts failed logins, and tells no mail that passed from there as part of it', () => {
    const entry = entryOf('ip', '192.0.2.7', 'all', { count: 'authFailures', observed: 63 });
    const found = reportOf(entry, [sent(T0, 10), sent(T0 + 1, 11)]);
    assert.deepEqual([found.onset, found.before], [null, null]);
    const letter = letterOf(entry, { ...found, held: { ...found.held, waiting: 0 } });
    assert.match(letter, /63 failed logins within/);
    assert.doesNotMatch(letter, /begun|Before we stopped it/);
    assert.match(letter, /^- Please look which computer tried these passwords, check it for malware/m);
    const ofMail = entryOf('ip', '192.0.2.7');
    const other = letterOf(ofMail, reportOf(ofMail, []));
    assert.match(other, /^- Please look which computer sent this mail, /m);
  });

  test('has no onset where the evidence counts bounces, which were sent before', () => {
    const found = reportOf(entryOf('account', 'alice@example.com', 'outbound', { count: 'bounces' }), [
      sent(T0, 10),
    ]);
    assert.deepEqual([found.onset, found.before?.messages], [null, 1]);
  });

  test('begins with what was sent first, also where that was reported late', () => {
    const found = reportOf(ALICE, [sent(T0, 10), sent(T0 - MINUTE, 11), sent(T0 - SECOND, 12)]);
    assert.deepEqual(found.onset, { at: found.before?.first, position: 11 });
  });

  test('sums a flood of refusals by stage and by reply, and lists none of them', () => {
    const flood = Array.from({ length: 100_000 }, (_, n) => refused(300 + n, { count: 2 }));
    const found = reportOf(ALICE, [
      refused(101, { stage: 'auth', reply: '535 5.7.8 Authentication failed', count: 5 }),
      refused(102, { block: 'another' }),
      ...flood,
    ]);
    assert.deepEqual(
      found.stopped.map(({ stage, refusals }) => [stage, refusals]),
      [
        ['auth', 5],
        ['rcpt', 200_000],
      ],
    );
    assert.deepEqual(
      found.told.map(({ reply, refusals }) => [reply, refusals]),
      [
        ['451 4.7.1 Try again later', 200_000],
        ['535 5.7.8 Authentication failed', 5],
      ],
    );
    assert.ok(JSON.stringify(found).length < 2000);
  });

  test('names the instant of a single refusal, though it is recorded later', () => {
    const late = refused(112, { since: T0 + 102 * SECOND });
    const { stopped, told } = reportOf(ALICE, [refused(101), late]);
    assert.deepEqual([stopped[0]!.last, told[0]!.last], Array(2).fill('2026-03-01T12:01:42.000Z'));
  });

  test('says of newcomers to a place that they were never there before, and not that they turned abnormal', () => {
    const accounts = ['a@one.example', 'b@two.example', 'c@three.example'];
    const entry = entryOf('ip', '192.0.2.7', 'outbound', { count: 'accounts', accounts });
    const found = reportOf(entry, [sent(T0, 10)]);
    const held = { ...found.held, waiting: 0 };
    const letter = letterOf(entry, { ...found, held });
    assert.match(letter, /^- 3 accounts within 1h that were never there before$/m);
    assert.doesNotMatch(letter, /abnormal|one\.example/);
  });

  test('tells a customer a reply once, though it was given at two stages', () => {
    const found = reportOf(ALICE, [refused(110), refused(120, { stage: 'data' }), refused(130)]);
    assert.equal(found.told.length, 2);
    const held = { ...found.held, waiting: 0 };
    const letter = letterOf(ALICE, { ...found, held });
    assert.equal(letter.match(/"451 4\.7\.1 Try again later": 3 times/g)?.length, 1);
    assert.equal(letter.match(/451 4\.7\.1/g)?.length, 1);
  });

  test('tells a customer once that to stop the mail was proposed, though the proposal grew', () => {
    const [imposed, released] = ALICE.history;
    const proposed = { ...imposed!, type: 'BlockProposed' } as const;
    const grown = { ...proposed, at: proposed.at + MINUTE };
    const found = reportOf(ALICE, []);
    const entry = { ...ALICE, history: [proposed, grown, imposed!, released!] };
    const letter = letterOf(entry, { ...found, held: { ...found.held, waiting: 0 } });
    assert.deepEqual(letter.match(/proposed to stop the mail|stopped the mail|let mail pass/g), [
      'proposed to stop the mail',
      'stopped the mail',
      'let mail pass',
    ]);
  });

  test('tells ten replies and ten sources, however many a client makes up, and counts the others', () => {
    const replies = Array.from({ length: 1500 }, (_, n) => refused(300 + n, { reply: `reply ${n}` }));
    const sends = Array.from({ length: 1500 }, (_, n) =>
      sent(T0, 10 + n / 100, { ip: `10.0.${n >> 8}.${n & 255}` }),
    );
    const found = reportOf(ALICE, [...sends, ...replies]);
    assert.deepEqual([found.told.length, found.otherReplies], [10, 1490]);
    assert.deepEqual([found.sources.length, found.otherSources], [10, 990]);
    assert.equal(found.before?.messages, 1500);
  });

  test('does not call held mail stopped, and counts it once', () => {
    const data = { block: 'b1', transaction: 'q1', recipients: 3, size: 10, direction: 'outbound' };
    const held = event('MessageHeld', data, T0 + HOUR, 150);
    const found = reportOf(ALICE, [
      refused(110, { reply: 'HOLD' }),
      held,
      held,
      event('MessageHeld', { ...data, block: 'another' }, T0 + HOUR, 151),
    ]);
    assert.deepEqual(found.held, {
      messages: 1,
      recipients: 3,
      queued: 0,
      moved: 0,
      sentOn: 0,
      unheld: 0,
      full: 0,
    });
    assert.deepEqual([found.stopped, found.told[0]!.reply], [[], 'HOLD']);
  });

  test('tells the customer of no message that was taken where none could be held, and that it has to be sent again', () => {
    const found = reportOf(ALICE, [refused(110, { reply: 'HOLD' }), unheld(111)]);
    assert.deepEqual(
      [...found.told, ...found.stopped].map(({ stage, refusals }) => [stage, refusals]),
      [
        ['data', 1],
        ['data', 1],
      ],
    );
    assert.equal(found.held.unheld, 1);
    const held = { ...found.held, waiting: 0 };
    const letter = letterOf(ALICE, { ...found, held });
    assert.doesNotMatch(letter, /had taken the message|What we held/);
    assert.match(letter, /^- "451 4\.7\.1 Try again later": once, /m);
    const again =
      /^- What was to be kept, and could not be, was refused \(once\): it is not with us, and has to be sent again\.$/m;
    assert.match(letter, again);
    const wrong = letterOf({ ...ALICE, falsePositive: true }, { ...found, held });
    assert.match(wrong, /^- Please send again what we refused\. We are sorry/m);
  });

  describe('as a letter about a false positive', () => {
    const WRONG: BlockEntry = { ...ALICE, falsePositive: true };
    const adviceOf = (entry: BlockEntry, found: Omit<Findings, 'held'> & { held: HeldSums }): string[] =>
      letterOf(entry, found)
        .split('What you should do\n')[1]!
        .split('\n\n')[0]!
        .split('\n')
        .map((line) => line.replace(/^- | We are sorry for the trouble\.$/g, ''));
    const heldMail = event(
      'MessageHeld',
      { block: 'b1', transaction: 'q1', recipients: 1, size: 10, direction: 'outbound' },
      T0 + HOUR,
      150,
    );

    test('asks for nothing where mail was only put off, which comes again by itself', () => {
      const found = reportOf(ALICE, [
        refused(110),
        refused(111, { stage: 'auth', reply: '454 4.7.0 Later' }),
      ]);
      assert.deepEqual(adviceOf(WRONG, found), ['Nothing.']);
    });

    test('asks for what was refused for good to be sent again, and says in every letter that it is lost', () => {
      const honest = { reply: '550 5.7.1 Sending is blocked because of unusual activity' };
      const found = reportOf(ALICE, [refused(110, honest), refused(111, { ...honest, stage: 'data' })]);
      assert.deepEqual(adviceOf(WRONG, found), ['Please send again what we refused.']);
      const lost =
        /^- Mail was refused for good \(2 times\): it is not with us, and no mail program sends it again by itself\.$/m;
      assert.match(letterOf(ALICE, found), lost);
      assert.doesNotMatch(letterOf(ALICE, reportOf(ALICE, [refused(110)])), /refused for good/);
    });

    test('asks for what was deleted to be sent again, here or where another block held it on', () => {
      const hook = { action: 'delete', cause: END, outcome: 'done', asked: 1, acted: 1, output: '' } as const;
      const ran = { type: 'HookRan', at: T0 + HOUR, by: 'system:hook', position: 201, hook } as const;
      const found = reportOf(ALICE, [heldMail]);
      const here = { ...WRONG, history: [...WRONG.history, ran] };
      assert.deepEqual(adviceOf(here, found), ['Please send again what was deleted.']);
      const elsewhere = { ...NONE_ELSEWHERE, deleted: 1 };
      const there = { ...found, held: { ...found.held, moved: 1, elsewhere } };
      assert.deepEqual(adviceOf(WRONG, there), ['Please send again what was deleted.']);
      const lost = reportOf(ALICE, [heldMail, refused(110, { reply: '550 5.7.1 Blocked' })]);
      assert.deepEqual(adviceOf(here, lost), ['Please send again what we refused and what was deleted.']);
    });

    test('asks to look after mail of which nobody can say whether it was deleted', () => {
      const asks = [
        'Some of what we held may have been deleted, and some may wait still: please ask us before you send it again.',
      ];
      const found = reportOf(ALICE, [heldMail]);
      assert.deepEqual(adviceOf(WRONG, found), asks);
      assert.deepEqual(adviceOf(WRONG, { ...found, held: { ...found.held, moved: 1 } }), asks);
      assert.deepEqual(adviceOf(WRONG, { ...found, held: { ...found.held, waiting: 1 } }), ['Nothing.']);
    });

    test('asks to look at the outbox where a login was answered like a wrong password', () => {
      const asks = [
        'If your mail program asks for the password, please enter it again, and see that nothing is left in its outbox.',
      ];
      for (const reply of ['535 5.7.8 Authentication credentials invalid', AS_WRONG_PASSWORD])
        assert.deepEqual(adviceOf(WRONG, reportOf(ALICE, [refused(110, { stage: 'auth', reply })])), asks);
    });

    test('does not promise that nothing is lost where not all is counted', () => {
      const found = reportOf(ALICE, [refused(110)]);
      assert.deepEqual(adviceOf(WRONG, { ...found, otherReplies: 1 }), ['Nothing, as far as we know.']);
    });
  });

  test('tells the customer of both where some mail could be held and some could not', () => {
    const found = reportOf(ALICE, [refused(110, { reply: 'HOLD', count: 3 }), unheld(111, { count: 2 })]);
    const letter = letterOf(ALICE, { ...found, held: { ...found.held, waiting: 0 } });
    assert.match(letter, /^- that we had taken the message: once, /m);
    assert.match(letter, /^- "451 4\.7\.1 Try again later": 2 times, /m);
    assert.match(letter, /could not be, was refused \(2 times\)/);
  });

  test('takes nothing off what was held for mail that was refused from the first recipient on', () => {
    const found = reportOf(ALICE, [refused(110, { reply: 'HOLD' }), unheld(111, { stage: 'rcpt' })]);
    assert.deepEqual(
      found.told.map(({ reply, refusals }) => [reply.slice(0, 4), refusals]),
      [
        ['HOLD', 1],
        ['451 ', 1],
      ],
    );
  });

  test('tells of mail that stayed on hold for another block what became of it there, and not that it waits here', () => {
    const data = { block: 'b1', recipients: 1, size: 10, direction: 'outbound' };
    const held = ['q1', 'q2', 'q3', 'q4', 'q5'].map((transaction, n) =>
      event('MessageHeld', { ...data, transaction }, T0 + HOUR, 150 + n),
    );
    const hook = { action: 'release', cause: END, outcome: 'done', asked: 1, acted: 1, output: '' } as const;
    const ran = { type: 'HookRan', at: T0 + HOUR, by: 'system:hook', position: 201 } as const;
    const entry = {
      ...ALICE,
      history: [...ALICE.history, { ...ran, hook: { ...hook, moved: 4, through: 4 } }],
    };
    const found = reportOf(entry, held, [], [151, 152, 153, 154]);
    assert.equal(found.held.moved, 4);
    const heldOn = (elsewhere: Partial<typeof NONE_ELSEWHERE>): string | undefined => {
      const whole = { ...found.held, elsewhere: { ...NONE_ELSEWHERE, ...elsewhere } };
      const letter = letterOf(entry, { ...found, held: whole });
      assert.match(letter, /^- 5 messages to 5 recipients did not leave our server at first\.$/m);
      assert.match(letter, /^- 1 message of these was sent on later\.$/m);
      return /^- 4 messages of these were held on, since we stopped that mail for another reason too: (.*)$/m.exec(
        letter,
      )?.[1];
    };
    assert.equal(heldOn({ released: 4 }), '4 were sent on later.');
    assert.equal(
      heldOn({ released: 1, deleted: 1, waiting: 1 }),
      '1 was sent on later, 1 was deleted, 1 is still held, 1 may have been sent on or deleted since.',
    );
    assert.equal(heldOn({}), '4 may have been sent on or deleted since.');
    const all = { messages: 4, recipients: 4, elsewhere: { ...NONE_ELSEWHERE, waiting: 4 } };
    const waiting = { ...found.held, ...all };
    const unsent = letterOf(
      {
        ...entry,
        history: entry.history.map(({ hook: ran, ...item }) =>
          ran === undefined ? item : { ...item, hook: { ...ran, asked: 0, acted: 0 } },
        ),
      },
      { ...found, held: waiting },
    );
    assert.match(
      unsent,
      /^- 4 messages to 4 recipients did not leave our server\.$/m,
      'it has not left it yet',
    );
    assert.equal(reportOf(entry, held).held.moved, 0, 'found in the queue for the other block alone');
  });

  test('says by the report and the letter how much of the held mail a mail server has sent since', () => {
    const data = { block: 'b1', recipients: 1, size: 10, direction: 'outbound' };
    const held = ['q1', 'q2', 'q3'].map((transaction, n) =>
      event('MessageHeld', { ...data, transaction }, T0 + 2 * MINUTE, 150 + n),
    );
    const underWay = { ...held[2]!, by: 'system:hook' };
    const found = reportOf(
      ALICE,
      [
        sent(T0 + MINUTE, 101, { transaction: 'q3' }),
        sent(T0 + 30 * MINUTE, 160, { transaction: 'q1' }),
        held[0]!,
        held[1]!,
        underWay,
      ],
      ['q1', 'q2', 'q3'],
    );
    assert.equal(
      found.held.sentOn,
      1,
      'what was held in the queue after it was taken is not sent on by that',
    );
    const letter = letterOf(ALICE, { ...found, held: { ...found.held, waiting: 3 } });
    assert.match(letter, /, or held and sent on later: 2 messages to /);
    assert.match(letter, /^- 2 messages did not leave our server at first\.$/m);
    assert.match(letter, /^- 1 message of these was sent on later\.$/m);
    assert.match(letter, /^- 2 messages are still held\.$/m);
  });

  test('tells the customer of no more mail that was sent on than is counted', () => {
    const data = { block: 'b1', recipients: 1, size: 10, direction: 'outbound' };
    const ran = { type: 'HookRan', at: T0 + HOUR, by: 'system:hook', position: 201 } as const;
    const hook = {
      action: 'release',
      cause: END,
      outcome: 'done',
      asked: 50,
      acted: 50,
      output: '',
    } as const;
    const entry = { ...ALICE, history: [...ALICE.history, { ...ran, hook }] };
    const found = reportOf(entry, [event('MessageHeld', { ...data, transaction: 'q1' }, T0 + HOUR, 150)]);
    const letter = letterOf(entry, { ...found, held: { ...found.held, waiting: 1 } });
    assert.match(letter, /^- 1 message to 1 recipient did not leave our server\.$/m);
    assert.match(letter, /^- 1 message is still held\.$/m);
    assert.doesNotMatch(letter, /sent on/);
  });

  test('tells mail that the hook found in the queue, which had got through, from mail that was held at once', () => {
    const data = {
      block: 'b1',
      recipients: 1,
      size: 10,
      direction: 'outbound',
      account: 'alice@example.com',
    };
    const before = [1, 2, 3].map((n) => ({ ...sent(T0, 10 + n, { transaction: `q${n}` }) }));
    const found = reportOf(ALICE, [
      ...before,
      ...[1, 2, 3].map((n) => ({
        ...event('MessageHeld', { ...data, transaction: `q${n}` }, T0 + MINUTE, 101 + n),
        by: 'system:hook',
      })),
      event('MessageHeld', { ...data, recipients: 2, transaction: 'q4' }, T0 + HOUR, 150),
    ]);
    assert.equal(found.before?.messages, 3);
    assert.deepEqual(found.held, {
      messages: 4,
      recipients: 5,
      queued: 3,
      moved: 0,
      sentOn: 0,
      unheld: 0,
      full: 0,
    });
    const letter = letterOf(ALICE, { ...found, held: { ...found.held, waiting: 4 } });
    assert.match(letter, /^- 1 message did not leave our server\.$/m);
    assert.match(
      letter,
      /^- 3 messages of those that were sent before had not left our server yet, at least for some recipients\.$/m,
    );
  });

  test('is of each type of subject, and of one direction', () => {
    const from = {
      account: undefined,
      returnPath: 'Eve@Sub.Example.net',
      ehlo: 'Bot.example',
      ip: '198.51.100.9',
    };
    const events = [sent(T0, 11, from), sent(T0, 12, { ip: '203.0.113.1' })];
    const inbound = [sent(T0, 11, { ...(from as object), direction: 'inbound' })];
    const subjects = [
      ['address', 'eve@sub.example.net'],
      ['address', '*@sub.example.net'],
      ['domain', 'example.net'],
      ['ehlo', 'bot.example'],
      ['ip', '198.51.100.0/24'],
    ] as const;
    for (const [type, value] of subjects) {
      assert.equal(reportOf(entryOf(type, value), events).before?.messages, 1, value);
      assert.equal(reportOf(entryOf(type, value), inbound).before?.messages, 0, value);
      assert.equal(reportOf(entryOf(type, value, 'all'), inbound).before?.messages, 1, value);
    }
  });

  test('leaves out what was imported, and what the store holds twice', () => {
    const twice = sent(T0, 11);
    const imported = sent(T0, 12, { imported: 'postfix-log' } as object);
    assert.equal(reportOf(ALICE, [twice, twice, imported]).before?.messages, 1);
  });
});

const SENDER = { account: 'alice@example.com', returnPath: 'alice@example.com', direction: 'outbound' };
