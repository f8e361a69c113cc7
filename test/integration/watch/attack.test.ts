import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { generate } from 'selfsigned';
import { DAY, SECOND } from '../../../src/kernel/time.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { account, PASSWORD, usersFile } from '../../support/distributed/accounts.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { flood } from '../../support/smtp/flood.js';
import { Served, workDir } from '../../support/smtp/served.js';
import { skipWithout } from '../../support/watch/binaries.js';
import { PrometheusClient } from '../../support/watch/client.js';
import type { ReceivedAlert } from '../../support/watch/receiver.js';
import { Receiver } from '../../support/watch/receiver.js';
import { PROMETHEUS, queriesIn, readYaml, REPOSITORY } from '../../support/watch/rules.js';
import { INCIDENTS } from '../../support/watch/runbooks.js';
import { startAlertmanager, startPrometheus } from '../../support/watch/server.js';

const VICTIMS = Array.from({ length: 5 }, (_, index) => account('victim', index + 1));
const EXEMPT = account('newsletter');
const BASE = 'https://git.example.com/stopgap/';
const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 5, then: block, for: 1h }
exempt:
  - { subject: { type: account, value: ${EXEMPT} }, reason: to be spared }
`;

/** Stopgap in a process of its own, with a certificate that ends tomorrow. */
async function startStopgap(t: { after(close: () => unknown): void }, dir: string): Promise<Served> {
  const now = systemClock.now();
  const certificate = await generate([{ name: 'commonName', value: 'mx.example.com' }], {
    keyType: 'ec',
    notBeforeDate: new Date(now - DAY),
    notAfterDate: new Date(now + DAY),
  });
  await writeFile(path.join(dir, 'mx.crt'), certificate.cert);
  await writeFile(path.join(dir, 'mx.key'), certificate.private);
  await writeFile(path.join(dir, 'users.yaml'), await usersFile([...VICTIMS, EXEMPT]));
  await writeFile(path.join(dir, 'rules.yaml'), RULES);
  return Served.start(t, dir, {
    STOPGAP_SMTP_HOSTNAME: 'mx.example.com',
    STOPGAP_SMTP_SUBMISSION_TLS_CERT: './mx.crt',
    STOPGAP_SMTP_SUBMISSION_TLS_KEY: './mx.key',
    STOPGAP_SMTP_AUTH_USERS: './users.yaml',
    STOPGAP_SMTP_RELAY_URL: 'maildir:./mail',
    STOPGAP_RULES: './rules.yaml',
  });
}

/** The example as it ships, with webhooks in place of the mails, and no wait for more to come. */
function alertmanagerConfig(receiver: Receiver): unknown {
  const { route, receivers, inhibit_rules } = readYaml<{
    route: { routes: object[] };
    receivers: { name: string }[];
    inhibit_rules: object[];
  }>('alertmanager.yml');
  const soon = { group_wait: '0s', group_interval: '1s' };
  return {
    route: { ...route, ...soon, routes: route.routes.map((one) => ({ ...one, ...soon })) },
    receivers: receivers.map(({ name }) => ({ name, webhook_configs: [{ url: receiver.url(name) }] })),
    inhibit_rules,
  };
}

/** The example as it ships, which asks more often, and other addresses. */
function prometheusConfig(stopgap: string, alertmanager: string): unknown {
  const { global, alerting } = readYaml<{ global: object; alerting: object }>('prometheus.yml');
  const often = { scrape_interval: '500ms', scrape_timeout: '500ms', evaluation_interval: '500ms' };
  const at = (target: string) => [{ targets: [target] }];
  return {
    global: { ...global, ...often, external_labels: { stopgap_base_url: BASE } },
    rule_files: [path.join(PROMETHEUS, 'rules/*.yml')],
    alerting: { ...alerting, alertmanagers: [{ static_configs: at(alertmanager) }] },
    scrape_configs: [{ job_name: 'stopgap', static_configs: at(stopgap) }],
  };
}

function isWhole({ labels, annotations }: ReceivedAlert): void {
  const url = annotations['runbook_url']!;
  assert.ok(url.startsWith(BASE), url);
  const [page, anchor] = url.slice(BASE.length).split('#');
  assert.ok(readFileSync(path.join(REPOSITORY, page!), 'utf8').includes(`<a id="${anchor}"></a>`), url);
  assert.equal(labels['job'], 'stopgap');
  assert.ok(!('stopgap_base_url' in labels), 'the base of the links has done its work');
}

test(
  'an attack on a running Stopgap reaches the person on call',
  { skip: await skipWithout('prometheus', 'alertmanager'), timeout: 60 * SECOND },
  async (t) => {
    const dir = await workDir(t);
    const [stopgap, receiver] = await Promise.all([startStopgap(t, dir), Receiver.start(t)]);
    const alertmanager = await startAlertmanager(t, dir, alertmanagerConfig(receiver));
    const http = `127.0.0.1:${stopgap.port('HTTP')}`;
    const prometheus = await startPrometheus(t, dir, prometheusConfig(http, alertmanager.address));
    const submission = stopgap.port('submission');
    const attack = (user: string): Promise<number> =>
      flood(submission, { user, password: PASSWORD, connections: 4 });

    await t.test('the watchdog says that the way is open, and Stopgap was asked', async () => {
      const watchdog = await receiver.alert('watchdog', 'StopgapWatchdog');
      isWhole(watchdog);
      assert.equal(watchdog.annotations['summary'], 'Processes that are watched: 1');
    });

    await t.test('a certificate that ends tomorrow', async () => {
      const ending = await receiver.alert('page', 'StopgapCertificateNearEnd');
      isWhole(ending);
      assert.match(ending.annotations['summary']!, /ends in (23h|1d)/);
      assert.equal(ending.labels['instance'], http);
    });

    await t.test('one account is used by a thief', async () => {
      const got = await attack(VICTIMS[0]!);
      assert.ok(got > 5 && got <= 9, `${got} got through`);
      const imposed = await receiver.alert('ticket', 'StopgapBlockImposed');
      isWhole(imposed);
      assert.equal(imposed.status, 'firing');
      assert.equal(imposed.labels['rule'], 'burst');
      assert.equal(imposed.labels['severity'], 'warning');
      assert.match(imposed.annotations['summary']!, /^Blocks by rule burst within 15 minutes: [12]$/);
    });

    await t.test('an exempt sender does the same', async () => {
      const session = await Dialogue.hello(submission);
      assert.match(await session.login(EXEMPT, PASSWORD), /^235 /);
      for (let each = 0; each < 6; each++)
        assert.match(await session.send(EXEMPT, [`reader-${each}@example.net`]), /^250 /);
      await session.quit();
      const tripped = await receiver.alert('notice', 'StopgapExemptSenderTripped');
      isWhole(tripped);
      assert.equal(tripped.labels['rule'], 'burst');
    });

    await t.test('many accounts are', async () => {
      await Promise.all(VICTIMS.slice(1).map(attack));
      const many = await receiver.alert('page', 'StopgapManyBlocks');
      isWhole(many);
      // Five; what increase() makes of a series that is seconds old may be more.
      assert.match(many.annotations['summary']!, /^Rules have blocked [5-9] senders within 15 minutes$/);
    });

    await t.test('a rules file with a mistake is saved', async () => {
      await writeFile(path.join(dir, 'rules.yaml'), RULES.replace('recipients', 'receivers'));
      const refused = await receiver.alert('ticket', 'StopgapFileRefused');
      isWhole(refused);
      assert.equal(refused.labels['file'], 'rules');
    });

    await t.test('the queries of every runbook are understood', async () => {
      const client = new PrometheusClient(prometheus.address);
      const page = readFileSync(path.join(REPOSITORY, INCIDENTS), 'utf8');
      await Promise.all(queriesIn(page).map((query) => client.query(query)));
    });

    await t.test('and nobody is named', () => {
      for (const body of receiver.bodies) assert.ok(!body.includes('@'), body);
    });
  },
);
