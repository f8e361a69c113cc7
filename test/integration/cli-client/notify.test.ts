import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ApiDependencies } from '../../../src/api/index.js';
import { HOUR } from '../../../src/kernel/time.js';
import type { ChannelFact, Notice } from '../../../src/notices/events.js';
import { NoticeCommands } from '../../../src/notices/commands.js';
import { MOST_UNDER_WAY } from '../../../src/notices/under-way.js';
import { envelope, newId } from '../../../src/runtime/ids.js';
import { ApiServer, TOKENS } from '../../support/api/server.js';
import { channelOf } from '../../support/notices/channels.js';
import { doctor, QUIET } from '../cli/examined.js';
import { Terminal } from './support.js';

const A = '018f0000-0000-7000-8000-00000000000a';
const B = '018f0000-0000-7000-8000-00000000000b';
const GONE = '018f1111-0000-7000-8000-00000000000c';
const SENT = '018f2222-0000-7000-8000-00000000000d';

describe('stopgap on notices that were given up', () => {
  let server: ApiServer;
  before(async () => {
    const channels = [channelOf()];
    server = await ApiServer.start((deps: ApiDependencies) => ({
      ...deps,
      notices: new NoticeCommands({ ...deps, channels }),
    }));
    for (const id of [A, B, GONE, SENT]) {
      const notice: Notice = {
        id,
        kind: 'events',
        at: server.clock.now(),
        items: [],
        counts: { imposed: 2 },
      };
      await record({ type: 'NoticeDue', data: { notice, through: 0 } });
      await record({ type: 'NoticeAttempted', data: { notice: id } });
      const failed = { notice: id, error: 'HTTP 500', retryAt: null };
      if (id === SENT) await record({ type: 'NoticeDelivered', data: { notice: id } });
      else
        await record({
          type: 'NoticeFailed',
          data: id === GONE ? { ...failed, error: 'HTTP 410', gone: true } : failed,
        });
    }
  });
  after(() => server.stop());

  async function record(fact: ChannelFact): Promise<void> {
    const events = envelope([fact], { by: 'system:notices' }, server.clock.now());
    await server.deps.store.append('notices-ops', events, 'any');
  }

  test('stopgap doctor names channels that are disabled or gave notices up, looks up their hosts, and sends nothing', async (t) => {
    const webhook = { type: 'webhook', secret: channelOf().secret!.secret };
    const channels = [
      { ...webhook, name: 'ops', url: 'http://localhost:9/secret-path' },
      { ...webhook, name: 'lost', url: 'https://hooks.invalid/secret-path' },
    ];
    const config = { smtp: { relay: { url: 'maildir:./mail' } }, notices: { channels } };
    const env = { ...QUIET, STOPGAP_URL: server.url, STOPGAP_TOKEN: TOKENS.viewer };
    const events = await server.eventsOf('notices-ops');
    const { has, findings } = await doctor(t, { yaml: JSON.stringify(config), env });
    has('notices', 'warning', /ops is disabled: .* \(410\).*; see to its URL, then stopgap notify test ops/);
    has('notices', 'warning', /ops gave up 3 notices: HTTP 410; stopgap notify list/);
    has('notices', 'ok', /the host of ops has an address; nothing was sent/);
    has('notices', 'problem', /the host of lost has no address \((ENOTFOUND|EAI_AGAIN|no answer)\); see to/);
    assert.doesNotMatch(JSON.stringify(findings), /secret-path|hooks\.invalid/);
    assert.equal((await server.eventsOf('notices-ops')).length, events.length);
    const none = await doctor(t, { env: QUIET });
    none.has('notices', 'not tried', /no channel is configured/);
    const stranger = await doctor(t, { yaml: JSON.stringify(config), env: QUIET });
    stranger.has('notices', 'not tried', /what became of notices: no running Stopgap answers/);
  });

  test('stopgap doctor and stopgap notify list say which channel has an owner that takes nothing, and why', async (t) => {
    const mail = { type: 'mail', url: undefined, secret: undefined, smtp: 'smtp://127.0.0.1:9' };
    const channels = [channelOf({ ...mail, name: 'owners', owners: 'a@example.com=a@home.example' })];
    const stuck = await ApiServer.start((deps: ApiDependencies) => ({
      ...deps,
      notices: new NoticeCommands({ ...deps, channels }),
    }));
    t.after(() => stuck.stop());
    const at = stuck.clock.now();
    const facts = Array.from({ length: MOST_UNDER_WAY }, (): ChannelFact[] => {
      const notice: Notice = {
        id: newId(),
        kind: 'events',
        at,
        to: 'a@home.example',
        items: [],
        counts: { imposed: 1 },
      };
      const failed = { notice: notice.id, error: 'the mail server refused it: 452', retryAt: at + HOUR };
      return [
        { type: 'NoticeDue', data: { notice, through: 0 } },
        { type: 'NoticeAttempted', data: { notice: notice.id } },
        { type: 'NoticeFailed', data: failed },
      ];
    });
    await stuck.deps.store.append(
      'notices-owners',
      envelope(facts.flat(), { by: 'system:notices' }, at),
      'any',
    );
    const terminal = await Terminal.at(stuck);
    try {
      const { out } = await terminal.run('notify', 'list');
      assert.match(out, /^owners +mail +stuck +20 /m);
      assert.match(out, /sender blocked, to a@home\.example \(the mail server refused it: 452\)/);
    } finally {
      await terminal.close();
    }
    const config = {
      smtp: { relay: { url: 'maildir:./mail' } },
      notices: {
        channels: [
          {
            name: 'owners',
            type: 'mail',
            smtp: 'smtp://127.0.0.1:9',
            owners: 'a@example.com=a@home.example',
          },
        ],
      },
    };
    const env = { ...QUIET, STOPGAP_URL: stuck.url, STOPGAP_TOKEN: TOKENS.viewer };
    const { has } = await doctor(t, { yaml: JSON.stringify(config), env });
    has(
      'notices',
      'warning',
      /owners has 1 receiver that did not take the last notices, .*: 452; stopgap notify/,
    );
  });

  test('stopgap notify resend takes the beginning of an id, and says which ones begin alike', async (t) => {
    const terminal = await Terminal.at(server);
    t.after(() => terminal.close());
    const resend = (...ids: string[]) => terminal.run('notify', 'resend', ...ids);
    const several = await resend('018f0000');
    assert.equal(several.code, 1, several.err);
    assert.match(
      several.err,
      new RegExp(`several ids begin with 018f0000 \\(${B}: .*${A}: .*give more of it`),
    );
    const none = await resend(GONE.slice(0, 8), '0bad');
    assert.equal(none.code, 1);
    assert.match(none.err, /there is no notice 0bad: stopgap notify list --all shows them/);
    const delivered = await resend('018F2222');
    assert.equal(delivered.code, 1, delivered.out);
    const sent = await resend('018F1111');
    assert.deepEqual([sent.code, sent.err], [0, '1 notice to be sent again\n']);
    const waiting = await terminal.run('notify', 'list', '--json');
    const { channels } = JSON.parse(waiting.out) as {
      channels: { notices: { id: string; state: string }[] }[];
    };
    const states = Object.fromEntries(channels[0]!.notices.map(({ id, state }) => [id, state]));
    assert.deepEqual([states[A], states[B], states[GONE]], ['dead', 'dead', 'waiting']);
  });
});
