import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RecordedHistory, RecordedFeedback, rulesInForce } from '../../../src/backtest/history.js';
import type { CandidateReport } from '../../../src/backtest/report.js';
import { runBacktest } from '../../../src/backtest/run.js';
import type { BlockCommand } from '../../../src/blocks/commands.js';
import { newId } from '../../../src/runtime/ids.js';
import { HOUR, MINUTE, SECOND, formatInstant } from '../../../src/kernel/time.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { AuthenticationFailed, MessageAccepted } from '../../../src/sending/events.js';
import { authStream } from '../../../src/sending/events.js';
import type { MailDirection, Subject } from '../../../src/sending/subjects.js';
import { senderIdentity } from '../../../src/sending/subjects.js';
import { openSqliteForReading } from '../../../src/store/sqlite/reader.js';
import { Live } from '../../support/backtest/live.js';

const START = Date.UTC(2027, 0, 4, 8);
const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 5, then: block, for: 4h }
`;
const PROPOSING = RULES.replace('then: block', 'then: propose');
const ANNA: Subject = { type: 'account', value: 'anna@example.com' };
const OFFICE: Subject = { type: 'ip', value: '192.0.2.7' };

/** A running server and its administrator. */
class Scene {
  constructor(readonly live: Live) {}

  async send(
    messages: number,
    account: string | undefined = ANNA.value,
    direction: MailDirection = 'outbound',
  ): Promise<void> {
    for (let sent = 0; sent < messages; sent++) {
      const data: MessageAccepted = {
        account: direction === 'outbound' ? account : undefined,
        returnPath: account,
        ehlo: 'pc.example.com',
        ip: OFFICE.value,
        direction,
        transaction: 't',
        recipients: 1,
        size: 1000,
        recipientDomains: [],
        entitled: true,
      };
      await this.live.message({ at: this.live.clock.now() + SECOND, data });
    }
  }

  async pass(span: number): Promise<void> {
    await this.live.advance(this.live.clock.now() + span);
  }

  /** A login from this network fails two minutes later, under the rules in force. */
  async fail(network: string, more: Partial<AuthenticationFailed> = {}): Promise<void> {
    await this.pass(2 * MINUTE);
    const now = this.live.clock.now();
    const ip = network.replace('/64', '');
    const block = this.live.models.activeBlocks.find(senderIdentity({ ip, direction: 'outbound' }), now);
    const kind = block === undefined ? 'genuine' : 'feigned';
    const data = { network, kind, block: block?.id, count: 1, since: now, ...more } as const;
    await this.live.record(authStream(network), { type: 'AuthenticationFailed', data });
  }

  /** The cases that there were. */
  get cases(): unknown {
    const kept = [...this.live.models.ledger.kept()];
    return kept.map(({ subject, since, until, state }) => [
      subject.value,
      formatInstant(since!),
      formatInstant(until!),
      state === 'active' ? null : state,
    ]);
  }

  /** An administrator's act on the open block or proposal. */
  async act(
    command: Partial<BlockCommand> & { readonly kind: BlockCommand['kind'] },
    subject = ANNA,
    by = 'admin:carol',
  ): Promise<void> {
    const standing = await this.live.blockCommands.standing(subject);
    const block = standing.block?.id ?? standing.proposal?.id;
    const full = { block, newId: newId(), ...command } as unknown as BlockCommand;
    const { position } = await this.live.blockCommands.execute(subject, full, { by });
    if (position !== undefined) await this.live.models.reached(position);
  }

  async backtest(rules: string, from?: number): Promise<CandidateReport> {
    const store = openSqliteForReading(this.live.file);
    try {
      const judgements = await RecordedFeedback.of(store);
      const report = await runBacktest({
        source: new RecordedHistory(store),
        candidates: [{ name: 'rules.yaml', rules: parseRules(rules) }],
        judge: (one) => judgements.of(one),
        from,
      });
      return report.candidates[0]!;
    } finally {
      await store.close();
    }
  }
}

/** Lets a server run under rules, and looks back. */
async function after(rules: string, work: (scene: Scene) => Promise<void>): Promise<void> {
  const live = await Live.start(rules, START);
  try {
    await work(new Scene(live));
  } finally {
    await live.stop();
  }
}

const brief = ({ cases }: CandidateReport): unknown[] =>
  cases.map(({ subject, action, ended, judged }) => [subject.value, action, ended, judged]);

const asCases = ({ cases }: CandidateReport): unknown =>
  cases.map(({ subject, blockedAt, until, ended }) => [subject.value, blockedAt, until, ended]);

const GUESSING = `version: 1
rules:
  - { id: guessing, per: ip, count: authFailures, window: 1h, limit: 5, then: block, for: 1h, escalate: { factor: 2, max: 4h } }
`;

describe('failed logins that were recorded', () => {
  for (const network of ['198.51.100.7', '2001:db8:1:2::/64'])
    test(`keep a block up as live, though it feigned them: from ${network}`, () =>
      after(GUESSING, async (scene) => {
        for (let times = 0; times < 100; times++) await scene.fail(network, { fresh: true });
        await scene.pass(5 * HOUR);
        await scene.fail(network, { fresh: true });
        assert.deepEqual(asCases(await scene.backtest(GUESSING)), scene.cases);
      }));

  test('count for nothing where a block that is tried would feign them and nobody could tell a repeat', () =>
    after('version: 1\nrules: []\n', async (scene) => {
      for (let times = 0; times < 20; times++) await scene.fail('198.51.100.7');
      await scene.pass(2 * HOUR);
      await scene.fail('198.51.100.7');
      await after(GUESSING, async (live) => {
        for (let times = 0; times < 20; times++) await live.fail('198.51.100.7');
        await live.pass(2 * HOUR);
        await live.fail('198.51.100.7');
        assert.deepEqual(asCases(await scene.backtest(GUESSING)), live.cases);
      });
    }));

  test('count for nothing where the rules that are tried let through what was feigned', () =>
    after(GUESSING, async (scene) => {
      for (let times = 0; times < 20; times++) await scene.fail('198.51.100.7', { fresh: true });
      assert.deepEqual(asCases(await scene.backtest(GUESSING.replace('limit: 5', 'limit: 6'))), []);
      // An honest block lets logins pass.
      const honest = GUESSING.replace('then: block', 'then: block, refuse: honest');
      const [[, , until]] = asCases(await scene.backtest(honest)) as [[string, string, string]];
      assert.equal(until, formatInstant(START + 12 * MINUTE + HOUR));
    }));
});

describe('messages that came back', () => {
  /** Twenty messages, one a minute, then each comes back. */
  const returned = async (scene: Scene): Promise<void> => {
    for (let times = 0; times < 20; times++) {
      await scene.pass(MINUTE);
      await scene.send(1);
    }
    const sends: string[] = [];
    for await (const { id, type } of scene.live.store.readStream('send-anna@example.com'))
      if (type === 'MessageAccepted') sends.push(id);
    for (const send of sends) {
      await scene.pass(MINUTE);
      const data = { address: ANNA.value, account: ANNA.value, send, entitled: true, status: '5.1.1' };
      await scene.live.record('send-anna@example.com', { type: 'BounceReceived', data });
    }
  };
  for (const [limit, hours, what] of [
    [6, 1, 'count for nothing if the rules that are tried would have refused them'],
    [5, 24, 'count if the rules that are tried let them through, though their sender is refused by then'],
  ])
    test(`${what}`, () =>
      after('version: 1\nrules: []\n', async (scene) => {
        await returned(scene);
        const [one, ...others] = (
          await scene.backtest(`version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 1h, limit: 5, then: block, for: 1h }
  - { id: returned, per: account, count: refusedRecipients, window: 1h, limit: ${limit}, then: block, for: 24h }
`)
        ).cases;
        assert.equal(one!.rule, 'burst');
        const lasted = Date.parse(one!.until!) - Date.parse(one!.blockedAt!);
        assert.deepEqual([Math.floor(lasted / HOUR), others], [hours, []]);
      }));
});

describe('over what was recorded', () => {
  test('a release as a false positive releases what the rules under test block, and calls it wrong', () =>
    after(RULES, async (scene) => {
      await scene.send(8);
      await scene.pass(10 * MINUTE);
      await scene.act({ kind: 'release', falsePositive: true });
      await scene.send(3);
      const report = await scene.backtest(RULES);
      assert.deepEqual(brief(report), [[ANNA.value, 'block', 'released', 'wrong']]);
      assert.equal(report.cases[0]!.endedAt, formatInstant(START + 8 * SECOND + 10 * MINUTE));
      assert.equal(report.accepted.messages, 9, 'six that tripped it, three after the release');
      assert.deepEqual(report.attempts, { refused: 2, letThrough: 0 });
      assert.deepEqual([report.right, report.wrong], [0, 1]);
    }));

  test('a release without that word, and a block that ran out, were right', () =>
    after(RULES, async (scene) => {
      await scene.send(6);
      await scene.send(6, 'bert@example.com');
      await scene.act({ kind: 'release', falsePositive: false });
      await scene.pass(5 * HOUR);
      await scene.send(1);
      assert.deepEqual(brief(await scene.backtest(RULES)), [
        [ANNA.value, 'block', 'released', 'right'],
        ['bert@example.com', 'block', 'expired', 'right'],
      ]);
    }));

  test('a dismissal dismisses, an approval approves, and nobody has judged what nobody answered', () =>
    after(PROPOSING, async (scene) => {
      for (const account of [ANNA.value, 'bert@example.com', 'cleo@example.com'])
        await scene.send(6, account);
      await scene.act({ kind: 'dismiss' });
      await scene.act({ kind: 'approve' }, { type: 'account', value: 'bert@example.com' });
      await scene.pass(5 * HOUR);
      await scene.send(1, 'bert@example.com');
      await scene.pass(24 * HOUR);
      await scene.send(1);
      const report = await scene.backtest(PROPOSING);
      assert.deepEqual(brief(report), [
        [ANNA.value, 'propose', 'dismissed', 'wrong'],
        ['bert@example.com', 'block', 'expired', 'right'],
        ['cleo@example.com', 'propose', 'lapsed', null],
      ]);
      assert.deepEqual([report.blocks, report.proposals], [1, 3]);
    }));

  test('an approval that says how long lasts so long', () =>
    after(PROPOSING, async (scene) => {
      await scene.send(6);
      await scene.act({ kind: 'approve', span: { duration: 2 * HOUR } });
      const ends = formatInstant(scene.live.clock.now() + 2 * HOUR);
      await scene.pass(5 * HOUR);
      await scene.send(1);
      const [found] = (await scene.backtest(PROPOSING)).cases;
      assert.deepEqual([found?.ended, found?.endedAt], ['expired', ends]);
    }));

  test('a proposal that went because rules exempt its subject waits under rules that do not', () =>
    after(PROPOSING, async (scene) => {
      await scene.send(6);
      await scene.act({ kind: 'dismiss', note: 'exempt: ours' }, ANNA, 'system:exemptions');
      await scene.pass(25 * HOUR);
      await scene.send(1);
      const report = await scene.backtest(PROPOSING);
      assert.deepEqual(brief(report), [[ANNA.value, 'propose', 'lapsed', 'wrong']]);
    }));

  for (const [falsePositive, proposals] of [
    [false, 2],
    [true, 1],
  ] as const) {
    test(`a dismissal ${falsePositive ? 'as a false positive' : 'without that word'} teaches as it did then`, () => {
      const baselines = PROPOSING.replace('limit: 5', 'limit: { baseline: 1x, floor: 5 }').replace(
        'rules:',
        'learning: { days: 1, age: 1m, installation: 1m }\nrules:',
      );
      return after(baselines, async (scene) => {
        await scene.send(6);
        await scene.act({ kind: 'dismiss', falsePositive });
        await scene.pass(2 * HOUR);
        await scene.send(8);
        const report = await scene.backtest(baselines);
        assert.equal([...scene.live.models.ledger.rows.on(ANNA)].length, proposals);
        assert.equal(report.proposals, proposals);
      });
    });
  }

  test('rules that are stricter are judged by what was said of the same sender at the same time', () =>
    after(RULES, async (scene) => {
      await scene.send(6);
      await scene.act({ kind: 'release', falsePositive: true });
      const report = await scene.backtest(RULES.replace('limit: 5', 'limit: 3'));
      assert.deepEqual(brief(report), [[ANNA.value, 'block', 'released', 'wrong']]);
      assert.equal(report.refused.messages, 2);
    }));

  test('attempts that were refused then count for nothing under rules that let them through', () =>
    after(RULES, async (scene) => {
      await scene.send(20);
      await scene.pass(MINUTE);
      const report = await scene.backtest(RULES.replace('limit: 5', 'limit: 50'));
      assert.deepEqual([report.blocks, report.accepted.messages], [0, 6]);
      assert.deepEqual(report.attempts, { refused: 0, letThrough: 14 });
    }));

  test('exemptions and blocks of people hold under any rules', () =>
    after(PROPOSING, async (scene) => {
      const bert: Subject = { type: 'account', value: 'bert@example.com' };
      const terms = {
        direction: 'outbound',
        description: 'phished',
        refusal: 'soft',
        until: START + HOUR,
      } as const;
      await scene.act({ kind: 'grant', subject: ANNA, until: null, reason: 'newsletter' });
      await scene.act({ kind: 'impose', subject: bert, ...terms }, bert);
      await scene.send(7);
      await scene.send(2, bert.value);
      await scene.pass(2 * HOUR);
      const report = await scene.backtest(RULES);
      assert.deepEqual(brief(report), [], 'what a person has set is no case of the rules');
      assert.deepEqual([report.byRule[0]!.rule, report.byRule[0]!.exempted], ['burst', 1]);
      assert.deepEqual(report.attempts, { refused: 2, letThrough: 0 });
    }));

  for (const [what, first] of [
    ['of a rule', undefined],
    ['of a person', { kind: 'impose', subject: OFFICE, direction: 'outbound', until: START + 2 * HOUR }],
  ] as const) {
    test(`what a person adds to the block ${what} is refused under the rules in force`, () => {
      const rules = RULES.replace('per: account', 'per: ip');
      return after(rules, async (scene) => {
        if (first === undefined) await scene.send(6);
        else await scene.act(first, OFFICE);
        const added = { kind: 'impose', subject: OFFICE, direction: 'all', until: START + 5 * HOUR } as const;
        await scene.act(added, OFFICE);
        await scene.pass(3 * HOUR);
        await scene.send(5, ANNA.value, 'inbound');
        await scene.pass(MINUTE);
        assert.deepEqual((await scene.backtest(rules)).attempts, { refused: 5, letThrough: 0 });
      });
    });
  }

  for (const [what, command] of [
    ['that a person sets', { kind: 'impose', subject: ANNA, direction: 'all', until: null }],
    ['that a person makes longer', { kind: 'change', span: { until: null } }],
  ] as const) {
    test(`a block ${what} on top of the block of a rule holds under rules that do not block`, () =>
      after(RULES, async (scene) => {
        await scene.send(6);
        await scene.act(command);
        await scene.pass(5 * HOUR);
        await scene.send(6);
        await scene.pass(MINUTE);
        const report = await scene.backtest(RULES.replace('limit: 5', 'limit: 50'));
        assert.deepEqual(report.attempts, { refused: 6, letThrough: 0 });
        assert.deepEqual(brief(report), [], 'what a person has set is no case of the rules');
      }));
  }

  test('a block that a person makes longer keeps the later end that it has under the rules that are tried', () =>
    after(RULES, async (scene) => {
      await scene.send(6);
      await scene.act({ kind: 'change', span: { until: START + 5 * HOUR } });
      await scene.pass(6 * HOUR);
      await scene.send(1);
      const [found] = (await scene.backtest(RULES.replace('for: 4h', 'for: 8h'))).cases;
      assert.equal(found!.until, formatInstant(START + 6 * SECOND + 8 * HOUR));
    }));

  for (const [what, command] of [
    ['makes shorter', { kind: 'change', span: { until: START + 2 * HOUR } }],
    ['gives another text', { kind: 'change', description: 'asked by phone', refusal: 'honest' }],
    [
      'makes shorter, with another text',
      { kind: 'change', span: { until: START + HOUR }, description: 'ours' },
    ],
  ] as const) {
    test(`a block of a rule that a person ${what} is no block under rules that do not block`, () =>
      after(RULES, async (scene) => {
        await scene.send(6);
        await scene.act(command);
        await scene.send(3);
        await scene.pass(MINUTE);
        const report = await scene.backtest(RULES.replace('limit: 5', 'limit: 50'));
        assert.deepEqual(report.attempts, { refused: 0, letThrough: 3 });
      }));
  }

  test('what came before the span is counted, but not acted upon', () =>
    after(PROPOSING, async (scene) => {
      await scene.send(4);
      const from = scene.live.clock.now() + 1;
      await scene.send(3);
      const report = await scene.backtest(RULES, from);
      assert.equal(report.accepted.messages, 2, 'the sixth in all trips it');
      assert.equal(report.refused.messages, 1);
    }));

  test('the rules in force are the newest that were recorded', () =>
    after(PROPOSING, async (scene) => {
      const store = openSqliteForReading(scene.live.file);
      const { name, rules } = await rulesInForce(store);
      await store.close();
      assert.equal(name, 'rules in force (version 1)');
      assert.equal(rules.rules[0]!.then, 'propose');
    }));
});

test('a store that is not there, or is none, is refused with what to do', async () => {
  assert.throws(
    () => openSqliteForReading('/nowhere/events.db'),
    /there is no store at \/nowhere\/events\.db/,
  );
  assert.throws(() => openSqliteForReading('/etc/hostname'), /\/etc\/hostname/);
});
