import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { Asking } from '../../support/policy/asking.js';
import { tokenOf } from '../../support/policy/token.js';
import { ALICE, Stopgap } from '../../support/smtp/stopgap.js';

const SETTINGS = { policy: { listen: '127.0.0.1:0' } };
const END = { protocol_state: 'END-OF-MESSAGE', recipient: '', size: '1000', recipient_count: '2' };

async function started(t: TestContext) {
  const stopgap = await Stopgap.start(t, { settings: SETTINGS });
  const token = await tokenOf(stopgap, 'mx');
  const api = async (path: string, body?: unknown): Promise<{ status: number; json: unknown }> => {
    const response = await fetch(`http://127.0.0.1:${stopgap.port('HTTP')}${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, json: text.startsWith('{') ? JSON.parse(text) : text };
  };
  return { stopgap, token, api, asking: await Asking.open(t, stopgap.port('policy')) };
}

describe('what mail servers tell over HTTP in a running Stopgap', () => {
  test('is one event with what the policy service recorded of the same queue id, whichever comes first', async (t) => {
    const { stopgap, api, asking } = await started(t);
    const item = (queueId: string) => ({
      type: 'accepted',
      id: `own-${queueId}`,
      queueId,
      at: new Date().toISOString(),
      account: ALICE,
      returnPath: ALICE,
      ip: '192.0.2.7',
      recipients: 2,
    });
    assert.equal(await asking.ask({ ...END, queue_id: 'FIRST' }), 'DUNNO');
    await stopgap.settled();
    assert.deepEqual((await api('/api/v1/sends', [item('FIRST'), item('SECOND')])).json, {
      recorded: 1,
      known: 1,
      refused: 0,
      results: [
        { id: 'own-FIRST', result: 'known' },
        { id: 'own-SECOND', result: 'recorded' },
      ],
    });
    assert.equal(await asking.ask({ ...END, queue_id: 'SECOND' }), 'DUNNO');
    // A follower that knew of fewer recipients at first: the policy service has counted all.
    const { json } = await api('/api/v1/sends', [{ ...item('FIRST'), further: true }]);
    assert.deepEqual((json as { results: unknown }).results, [{ id: 'own-FIRST', result: 'known' }]);
    const sent = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      sent.map(({ data, by }) => [data.transaction, by]),
      [
        ['FIRST', 'policy:mx.example.com'],
        ['SECOND', 'server:mx'],
      ],
    );
  });

  test('trips a rule, after which decide and the policy service refuse alike', async (t) => {
    const { stopgap, api, asking } = await started(t);
    const items = [1, 2, 3].map((number) => ({
      type: 'accepted',
      id: `${number}`,
      account: ALICE,
      recipients: 40,
    }));
    assert.equal((await api('/api/v1/sends', items)).status, 200);
    await stopgap.event(({ type }) => type === 'BlockImposed');
    await stopgap.settled();
    const { json } = await api('/api/v1/decide', { account: ALICE });
    const { code, text } = json as { code: number; text: string };
    assert.equal(await asking.ask(), `${code} ${text}`);
  });

  test('is told by rspamd, with the token in the path', async (t) => {
    const { stopgap, token, api } = await started(t);
    const blocked = (key: string) => api(`/rspamd/${token}/blocked?key=${encodeURIComponent(key)}`);
    assert.equal((await blocked(ALICE)).status, 404);
    await stopgap.block('account', ALICE);
    assert.deepEqual(await blocked('Alice@Example.com'), { status: 200, json: 'blocked\n' });
    assert.equal((await blocked('')).status, 404);
    // As the formatter `json` of rspamd 3 writes it.
    const message = {
      ip: '192.0.2.7',
      user: 'bob@example.com',
      qid: '4ABC',
      subject: 'Hi',
      action: 'add header',
      from: 'bob@example.com',
      rcpt: ['a@one.test', 'b@two.test'],
      size: 4711,
      score: 6.5,
      fuzzy: [],
      symbols: [{ name: 'X', score: 6.5, groups: [] }],
      message_id: 'x@y',
      header_from: ['bob@example.com'],
      scan_time: 12,
    };
    const sent = (body: unknown) => api(`/rspamd/${token}/sent`, body);
    assert.deepEqual((await sent(message)).json, { result: 'recorded' });
    assert.deepEqual((await sent(message)).json, { result: 'known' });
    for (const action of ['reject', 'soft reject', 'greylist', 'discard'])
      assert.deepEqual((await sent({ ...message, qid: action, action })).json, { result: 'skipped' });
    const unknown = { ip: 'unknown', user: 'unknown', qid: 'unknown', from: 'unknown', rcpt: 'unknown' };
    assert.deepEqual((await sent({ ...unknown, action: 'no action' })).json, { result: 'skipped' });
    const stranger = { ...unknown, from: 'x@elsewhere.test', action: 'no action' };
    for (const _ of [1, 2]) assert.deepEqual((await sent(stranger)).json, { result: 'recorded' });
    const events = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.deepEqual(
      events.map(({ data, by }) => [by, data.direction, data.account ?? data.returnPath, data.recipients]),
      [
        ['server:mx', 'outbound', 'bob@example.com', 2],
        ['server:mx', 'inbound', 'x@elsewhere.test', 1],
        ['server:mx', 'inbound', 'x@elsewhere.test', 1],
      ],
    );
    assert.deepEqual(events[0]!.data.recipientDomains, ['one.test', 'two.test']);
    for (const path of [
      '/rspamd/nobody/blocked?key=x',
      `/rspamd/${await tokenOf(stopgap, 'v', 'viewer')}/blocked?key=x`,
    ])
      assert.ok([401, 403].includes((await api(path)).status));
    assert.ok(!stopgap.logs.some((line) => line.includes(token)), 'the token is not logged');
  });

  test('says how many logins from an address were made to fail, and how many failed by themselves', async (t) => {
    const { stopgap, api } = await started(t);
    const feigned = (ip: string, within = '10m') => api(`/api/v1/feigned?ip=${ip}&within=${within}`);
    await stopgap.block('account', ALICE);
    await api('/api/v1/sends', [
      { type: 'login-failed', id: 'a', ip: '192.0.2.7', account: ALICE, count: 7 },
      { type: 'login-failed', id: 'b', ip: '192.0.2.7', account: 'bob@example.com' },
      {
        type: 'login-failed',
        id: 'c',
        ip: '192.0.2.8',
        account: ALICE,
        at: new Date(Date.now() - 3_600_000).toISOString(),
      },
    ]);
    const counts = async (ip: string, within?: string) => {
      const { json } = await feigned(ip, within);
      const { network, feigned: ours, genuine } = json as Record<string, unknown>;
      return [network, ours, genuine];
    };
    assert.deepEqual(await counts('192.0.2.7'), ['192.0.2.7', 7, 1]);
    assert.deepEqual(await counts('192.0.2.8'), ['192.0.2.8', 0, 0]);
    assert.deepEqual(await counts('192.0.2.8', '2h'), ['192.0.2.8', 1, 0]);
    assert.deepEqual(await counts('2001:db8::1'), ['2001:db8::/64', 0, 0]);
    assert.equal((await feigned('192.0.2.')).status, 400);
    assert.equal((await feigned('192.0.2.7', 'soon')).status, 400);
  });
});
