import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { BacktestJson } from '../../../src/api/backtests.js';
import { backtestShape } from '../../../src/api/backtests.js';
import { BacktestJobs } from '../../../src/backtest/jobs.js';
import type { CandidateReport, CaseReport } from '../../../src/backtest/report.js';
import { envelope } from '../../../src/runtime/ids.js';
import { SECOND, formatInstant } from '../../../src/kernel/time.js';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { sendStream } from '../../../src/sending/events.js';
import type { Reply } from '../../support/api/server.js';
import { ApiServer } from '../../support/api/server.js';

const BACKTESTS = '/api/v1/backtests';
const STRICT = `version: 1
rules:
  - { id: few, per: account, count: recipients, window: 10m, limit: 5, then: block, for: 1h }
`;

/** Ten messages, a second apart. */
async function record(server: ApiServer, account: string): Promise<void> {
  const data: MessageAccepted = {
    account,
    returnPath: account,
    ehlo: 'pc.example.com',
    ip: '192.0.2.7',
    direction: 'outbound',
    transaction: 't',
    recipients: 1,
    size: 1000,
    recipientDomains: ['example.org'],
    entitled: true,
  };
  for (let sent = 0; sent < 10; sent++) {
    server.clock.advance(SECOND);
    const events = envelope([{ type: 'MessageAccepted', data }], { by: 'smtp:test' }, server.clock.now());
    await server.deps.store.append(sendStream(account), events, 'any');
  }
}

/** What an answer says, which must be just what is promised. */
function said({ json }: Reply): BacktestJson {
  return backtestShape.strict().parse(json);
}

/** Asks until it has ended: real time passes in its thread. */
async function ended(server: ApiServer, id: string): Promise<BacktestJson> {
  for (;;) {
    const job = said(await server.get(`${BACKTESTS}/${id}`));
    if (job.state !== 'running') return job;
    await pause(20);
  }
}

describe('back-tests over HTTP', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
    await record(server, 'anna@example.com');
  });
  after(() => server.stop());

  test('try rules on what was recorded, and change nothing', async () => {
    const head = await server.deps.store.head();
    const begun = await server.post(BACKTESTS, { rules: STRICT }, { role: 'operator' });
    assert.equal(begun.status, 202);
    assert.equal(begun.json.state, 'running');
    assert.equal(begun.headers.get('location'), `${BACKTESTS}/${begun.json.id}`);
    const done = await ended(server, begun.json.id);
    assert.equal(done.state, 'done', String(done.error));
    const { sends, candidates } = done.report!;
    const [candidate] = candidates as [CandidateReport];
    assert.deepEqual([sends.messages, candidate.blocks, candidate.refused.messages], [10, 1, 4]);
    const [one] = candidate.cases as [CaseReport];
    assert.deepEqual(
      [one.subject, one.rule, one.sentThatDay, one.evidence.sentence],
      [
        { type: 'account', value: 'anna@example.com' },
        'few',
        { messages: 6, recipients: 6 },
        'Account anna@example.com: 6 recipients within 10m; rule "few" allows 5.',
      ],
    );
    assert.equal(await server.deps.store.head(), head, 'nothing was recorded');
    assert.equal(server.deps.models.activeBlocks.size, 0, 'and nobody is blocked');
  });

  test('take the rules in force if none are given, and compare two rule sets', async () => {
    const begun = await server.post(BACKTESTS, { against: { version: 1, rules: [] } });
    const { report } = await ended(server, begun.json.id);
    assert.deepEqual(
      report!.candidates.map(({ rules, blocks }) => [rules, blocks]),
      [
        ['rules in force (version 1)', 0],
        ['against', 0],
      ],
    );
    assert.deepEqual(report!.comparison!.refused.both, { messages: 0, recipients: 0 });
  });

  test('know the rules in force and those that ship by their names, as the command line does', async () => {
    const names = async (body: object): Promise<readonly string[]> => {
      const begun = await server.post(BACKTESTS, body);
      assert.equal(begun.status, 202, JSON.stringify(begun.json));
      const { report, error } = await ended(server, begun.json.id);
      assert.equal(error, null);
      return report!.candidates.map(({ rules }) => rules);
    };
    const inForce = 'rules in force (version 1)';
    assert.deepEqual(await names({ rules: STRICT, against: 'in-force' }), ['rules', inForce]);
    assert.deepEqual(await names({ rules: 'defaults', against: 'in-force' }), ['defaults', inForce]);
    assert.deepEqual(await names({ rules: 'in-force', against: 'defaults' }), [inForce, 'defaults']);
  });

  test('act and tell only within the span, though all that came before counts', async () => {
    const now = server.clock.now();
    const begun = await server.post(BACKTESTS, {
      rules: STRICT,
      from: formatInstant(now - 2 * SECOND),
      to: formatInstant(now),
    });
    const { report } = await ended(server, begun.json.id);
    assert.equal(report!.sends.messages, 2);
    // The sixth message had tripped the rule before it began; evidence is used once.
    assert.equal(report!.candidates[0]!.blocks, 0);
  });

  test('say which field is wrong', async () => {
    const cases = [
      [{ from: '2026-02-01', to: '2026-01-01' }, 400, /from: must lie before to/],
      [{ from: 'yesterday' }, 400, /from: must be an ISO 8601 time/],
      [{ rules: 7 }, 400, /rules: must be YAML text/],
      [{ until: '2026-01-01' }, 400, /until/],
      [{ rules: 'version: 1\nrules:\n  - { id: a }\n' }, 422, /rules:3: rules\[0\]\.per: /],
      [{ rules: STRICT, against: 'version: 2\nrules: []\n' }, 422, /against:1: version: must be 1/],
    ] as const;
    for (const [body, status, message] of cases) {
      const reply = await server.post(BACKTESTS, body);
      assert.equal(reply.status, status, JSON.stringify(body));
      assert.match(String(reply.json.detail), message);
    }
  });

  test('ask for the role operator to begin and to cancel', async () => {
    assert.equal((await server.post(BACKTESTS, {}, { role: 'viewer' })).status, 403);
    assert.equal((await server.call('DELETE', `${BACKTESTS}/x`, { role: 'viewer' })).status, 403);
    assert.equal((await server.get(BACKTESTS, { role: 'viewer' })).status, 200);
  });

  test('are listed newest first, and forgotten when somebody says so', async () => {
    const { items } = (await server.get(BACKTESTS)).json;
    assert.ok(items.length >= 3);
    const ids = items.map(({ id }) => id);
    assert.deepEqual(ids, [...ids].sort().reverse());
    for (const item of items) assert.equal(backtestShape.strict().parse(item).report, null);
    assert.equal((await server.call('DELETE', `${BACKTESTS}/${ids[0]}`)).json.state, 'done');
    assert.equal((await server.get(`${BACKTESTS}/${ids[0]}`)).status, 404);
    assert.equal((await server.call('DELETE', `${BACKTESTS}/${ids[0]}`)).status, 404);
  });

  test('have come to the end of the history once they are done', async () => {
    const data = { account: 'ben@example.com', direction: 'outbound', transaction: 't', recipients: 1 };
    const facts = Array.from({ length: 1500 }, () => ({
      type: 'MessageAccepted',
      data: { ...data, size: 1000, recipientDomains: [], entitled: true },
    }));
    const events = envelope(facts, { by: 'smtp:test' }, server.clock.now());
    await server.deps.store.append(sendStream('ben@example.com'), events, 'any');
    const begun = await server.post(BACKTESTS, { rules: STRICT });
    const { state, progress, report } = await ended(server, begun.json.id);
    assert.equal(state, 'done');
    const { share, at, ...mail } = progress!;
    assert.equal(share, 1);
    assert.equal(at, report!.to);
    assert.deepEqual(mail, {
      messages: report!.sends.messages,
      refused: report!.candidates[0]!.refused.messages,
    });
  });

  test('begin once for one Idempotency-Key', async () => {
    const headers = { 'idempotency-key': 'once' };
    const first = await server.post(BACKTESTS, { rules: STRICT }, { headers });
    const again = await server.post(BACKTESTS, { rules: STRICT }, { headers });
    assert.equal(first.json.id, again.json.id);
    await ended(server, first.json.id);
  });
});

describe('a back-test that takes its time', () => {
  let server: ApiServer;
  before(async () => {
    const script = new URL('../../support/backtest/patient-thread.js', import.meta.url);
    server = await ApiServer.start((deps) => ({
      ...deps,
      backtests: new BacktestJobs({
        location: { store: { kind: 'sqlite', file: 'none' }, retention: { sends: 0 } },
        clock: deps.clock,
        log: deps.log,
        script,
      }),
    }));
  });
  after(() => server.stop());

  test('keeps others from beginning, shows how far it is, and ends when it is cancelled', async () => {
    const begun = said(await server.post(BACKTESTS, { rules: STRICT }));
    assert.equal(begun.progress, null);
    const second = await server.post(BACKTESTS, { rules: STRICT });
    assert.equal(second.status, 409);
    assert.equal((second.json as unknown as { running: string }).running, begun.id);
    let job = begun;
    while (job.progress === null) job = said(await server.get(`${BACKTESTS}/${begun.id}`));
    const at = '1970-01-01T00:00:00.000Z';
    assert.deepEqual(job.progress, { share: 0.25, at, messages: 1000, refused: 10 });
    const cancelled = said(await server.call('DELETE', `${BACKTESTS}/${begun.id}`));
    assert.deepEqual([cancelled.state, cancelled.report], ['cancelled', null]);
    assert.notEqual(cancelled.endedAt, null);
    const third = await server.post(BACKTESTS, { rules: STRICT });
    assert.equal(third.status, 202, 'the way is free');
  });

  test('is ended with the server', async () => {
    assert.equal(said(await server.get(`${BACKTESTS}/${(await newest()).id}`)).state, 'running');
    await server.deps.backtests.close();
    assert.equal((await newest()).state, 'cancelled');
  });

  async function newest(): Promise<{ readonly id: string; readonly state: string }> {
    return (await server.get(BACKTESTS)).json.items[0];
  }
});

test('a back-test that cannot be carried out says why', async () => {
  const server = await ApiServer.start((deps) => ({
    ...deps,
    backtests: new BacktestJobs({
      location: { store: { kind: 'sqlite', file: '/nowhere/events.db' }, retention: { sends: 0 } },
      clock: deps.clock,
      log: deps.log,
    }),
  }));
  try {
    const begun = await server.post(BACKTESTS, {});
    const job = await ended(server, begun.json.id);
    assert.equal(job.state, 'failed');
    assert.match(job.error!, /there is no store at \/nowhere\/events\.db/);
  } finally {
    await server.stop();
  }
});
