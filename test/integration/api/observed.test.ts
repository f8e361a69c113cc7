import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ObservedJson } from '../../../src/api/rules.js';
import { observedShape } from '../../../src/api/rules.js';
import { MINUTE, formatInstant } from '../../../src/kernel/time.js';
import type { Action } from '../../../src/rules/model.js';
import { evidence } from '../../support/given.js';
import { ApiServer } from '../../support/api/server.js';
import { Terminal } from '../cli-client/support.js';

const OBSERVED = '/api/v1/rules/observed';

describe('what rules only observe', () => {
  let server: ApiServer;
  let terminal: Terminal;
  before(async () => {
    server = await ApiServer.start();
    terminal = await Terminal.at(server);
  });
  after(async () => {
    await terminal.close();
    await server.stop();
  });

  /** A rule trips that does nothing. */
  async function observe(value: string, rule: string, action: Action): Promise<number> {
    const { blockCommands, models, store, clock } = server.deps;
    const subject = { type: 'account', value } as const;
    const last = (await store.head()) + 1;
    const sentence = `Account ${value}: 101 recipients within 10m; rule "${rule}" allows 100.`;
    const proof = { rule, firstPosition: last, lastPosition: last, lastAt: clock.now(), sentence };
    const command = { kind: 'observe', subject, action, evidence: evidence(proof) } as const;
    const { position } = await blockCommands.execute(subject, command, { by: `rule:${rule}@1` });
    await models.reached(position);
    return position;
  }

  const list = async (query = ''): Promise<readonly ObservedJson[]> => {
    const { json } = await server.get(`${OBSERVED}?${query}`, { role: 'viewer' });
    return (json as unknown as { items: ObservedJson[] }).items;
  };
  const names = (items: readonly ObservedJson[]): readonly string[] =>
    items.map(({ subject }) => subject.value);

  test('is an empty list at first', async () => {
    assert.deepEqual(await list(), []);
    const { code, out, err } = await terminal.run('rules', 'observed');
    assert.deepEqual([code, out, err], [0, '', 'no rule that only observes has tripped\n']);
  });

  test('is listed, newest first, by rule, type and time, in pages', async () => {
    const position = await observe('ann@example.com', 'trial', 'observe');
    const at = formatInstant(server.clock.now());
    server.clock.advance(MINUTE);
    await observe('ben@example.com', 'burst', 'block');
    await observe('cyd@example.com', 'trial', 'propose');
    const all = await list();
    for (const item of all) observedShape.strict().parse(item);
    assert.deepEqual(names(all), ['cyd@example.com', 'ben@example.com', 'ann@example.com']);
    const first = all.at(-1)!;
    assert.deepEqual(
      [first.position, first.at, first.rule, first.action],
      [position, at, 'trial', 'observe'],
    );
    assert.match(first.evidence.sentence, /^Account ann@example\.com: 101 recipients/);
    assert.deepEqual(names(await list('rule=trial')), ['cyd@example.com', 'ann@example.com']);
    assert.deepEqual(names(await list('type=domain,ip')), []);
    const later = formatInstant(server.clock.now());
    assert.deepEqual(names(await list(`since=${later}`)), ['cyd@example.com', 'ben@example.com']);
    const page = (await server.get(`${OBSERVED}?limit=2`)).json as unknown as { next: string };
    const rest = await server.get(`${OBSERVED}?limit=2&cursor=${page.next}`);
    assert.deepEqual(names((rest.json as unknown as { items: ObservedJson[] }).items), ['ann@example.com']);
    assert.equal(rest.json.next, null);
  });

  test('is a table on the command line, with the numbers', async () => {
    const { out, err } = await terminal.run('rules', 'observed', '--rule', 'burst');
    assert.match(out, /^WHEN +SUBJECT +RULE +ASKS FOR +WHAT\n/);
    assert.match(
      out,
      /\nnow +account ben@example\.com +burst +block +101 recipients within 10m; allows 100\n$/,
    );
    assert.equal(err, '');
    const more = await terminal.run('rules', 'observed', '--limit', '1', '--json');
    assert.equal((JSON.parse(more.out) as { items: unknown[] }).items.length, 1);
    assert.equal(
      (await terminal.run('rules', 'observed', '--limit', '1')).err,
      'there are more: raise --limit, or narrow the search\n',
    );
  });

  test('is the same after a restart', async () => {
    const all = await list();
    await server.restart();
    assert.deepEqual(await list(), all);
    assert.equal(all.length, 3);
  });

  test('a faulty query is 400 and names each field', async () => {
    for (const [query, field] of [
      ['since=soon', 'since'],
      ['type=mail', 'type'],
      ['cursor=x', 'cursor'],
      ['state=active', 'state'],
    ] as const) {
      const reply = await server.get(`${OBSERVED}?${query}`);
      assert.equal(reply.status, 400, query);
      assert.equal(reply.json.errors[0].field, field);
    }
  });
});
