import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { account } from '../../support/distributed/accounts.js';
import { awaited } from '../../support/distributed/awaited.js';
import { Cluster } from '../../support/distributed/cluster.js';
import { floodAt } from '../../support/distributed/sends.js';
import type { Seen } from '../../support/tracing/collector.js';
import { Collector, describe } from '../../support/tracing/collector.js';

const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 50, then: block, for: 1h }
`;
const FLOODS = account('flood');
const BLOCKED = account('blocked');

test('one trace goes through all the processes that had to do with it', async (t) => {
  const collector = await Collector.start(t);
  const cluster = await Cluster.start({
    accounts: [FLOODS, BLOCKED],
    redis: false,
    env: { STOPGAP_TRACING_ENDPOINT: collector.endpoint, STOPGAP_TRACING_SAMPLE: '1' },
  });
  t.after(() => cluster.stop());
  const rules = path.join(cluster.dir, 'rules.yaml');
  await writeFile(rules, RULES);
  const [first, second, api] = await Promise.all([
    cluster.node('smtp-1', 'smtp'),
    cluster.node('smtp-2', 'smtp'),
    cluster.node('api', 'api'),
    cluster.node('detector', 'detector,worker', { STOPGAP_RULES: rules }),
  ]);
  const roles = (span: Seen): string => (span.resource['stopgap.roles'] as string[]).join();
  const process = (span: Seen): unknown => span.resource['service.instance.id'];
  /** The refusal by this process whose ancestors are all there. */
  const refusalAt = (notAt: unknown, root: string) => (): Seen | undefined =>
    collector
      .named('refusal')
      .find((span) => process(span) !== notAt && collector.ancestry(span)[0]!.name === root);

  await t.test(
    'a flood at one node, the verdict of a detector, the first refusal at another node',
    async () => {
      const { refused } = await floodAt(first, FLOODS, []);
      assert.ok(refused, cluster.logs());
      await awaited('the API shows the block', async () => (await api.blocksOf(FLOODS)).length === 1);
      const [block] = await api.blocksOf(FLOODS);
      const transaction = await collector.found('transaction at the flooded node', () =>
        collector.named('smtp transaction').at(0),
      );
      await awaited('the other node refuses too', () => second.refuses(FLOODS));
      const refusal = await collector.found(
        'refusal elsewhere, and all that led to it',
        refusalAt(process(transaction), 'smtp transaction'),
      );
      const causes = collector.ancestry(refusal);
      assert.deepEqual(
        causes.map((span) => `${span.name} at ${roles(span)}`),
        [
          'smtp transaction at smtp',
          'DATA at smtp',
          'verdict at detector,worker',
          'command act at detector,worker',
          'refusal at smtp',
        ],
        describe(collector.spans.filter(({ trace }) => trace === refusal.trace)),
      );
      assert.equal(process(causes[0]!), process(transaction));
      assert.equal(refusal.attributes['stopgap.block'], block!.id);
      await collector.found('block in force at all four', () => {
        const there = collector.named('in force').filter(({ trace }) => trace === refusal.trace);
        return new Set(there.map(process)).size === 4 ? there : undefined;
      });
    },
  );

  await t.test("an administrator's block, from the request of somebody who traces it", async () => {
    const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    const response = await fetch(`http://127.0.0.1:${api.http}/api/v1/blocks`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${cluster.token}`,
        'content-type': 'application/json',
        traceparent: `00-${trace}-00f067aa0ba902b7-01`,
      },
      body: JSON.stringify({
        subject: { type: 'account', value: BLOCKED },
        direction: 'all',
        description: 'by a test',
        duration: '1h',
      }),
    });
    assert.equal(response.status, 201);
    await awaited('a node refuses', () => second.refuses(BLOCKED));
    const refusal = await collector.found('refusal in the trace of the caller', () => {
      const found = collector.named('refusal').find((span) => span.trace === trace);
      return found !== undefined && collector.ancestry(found).length === 3 ? found : undefined;
    });
    assert.deepEqual(
      collector.ancestry(refusal).map((span) => `${span.name} at ${roles(span)}`),
      ['POST /api/v1/blocks at api', 'command impose at api', 'refusal at smtp'],
    );
  });
});
