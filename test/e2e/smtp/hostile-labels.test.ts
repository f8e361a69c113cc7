import assert from 'node:assert/strict';
import http from 'node:http';
import { test } from 'node:test';
import type { Sample } from '../../support/metrics.js';
import { documentedMetrics, samplesOf } from '../../support/metrics.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { seeded } from '../../support/smtp/random.js';
import { ALICE, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 3, then: block, for: 1h }
`;
/** Part of every hostile text: if it is in the metrics, something came through. */
const MARK = 'zqx';
/** Waves of strangers, each under names of its own. */
const WAVES = 2;

/** `/api/v1/blocks/{id}`: the template, never what was asked for. */
const ROUTE = /^(unmatched|\/|(\/([a-z]\w*(\.json)?|\{[a-z]+\}))+)$/;

const random = seeded(7);
const word = (): string => `${MARK}${Math.floor(random() * 2 ** 32).toString(36)}`;
const address = (): string => `${word()}@${word()}.test`;

test('whatever comes over the wire, no name of it becomes a label, and no series is added', async (t) => {
  const stopgap = await Stopgap.start(t, { rules: RULES });
  const session = await stopgap.loggedIn();
  await session.send(
    ALICE,
    Array.from({ length: 4 }, (_, index) => `r${index}@elsewhere.test`),
  ); // trips the rule
  const scrape = (accept?: string): Promise<string> => ask(stopgap, 'GET', '/metrics', { accept });

  const seen: (readonly string[])[] = [];
  for (let wave = 0; wave < WAVES; wave++) {
    for (let each = 0; each < 4; each++) {
      await atSubmission(stopgap);
      await atInbound(stopgap);
      await atTheApi(stopgap);
    }
    await stopgap.settled();
    const text = await scrape();
    assert.ok(
      !text.includes(MARK),
      text.split('\n').find((line) => line.includes(MARK)),
    );
    seen.push(samplesOf(text).map(seriesOf));
  }
  // The event loop's own handles come and go, and a kind of garbage collection is there once it was needed.
  const lasting = (series: readonly string[]): readonly string[] =>
    series.filter((name) => !/^stopgap_nodejs_(?:active|gc_duration)_/.test(name)).sort();
  assert.deepEqual(lasting(seen[1]!), lasting(seen[0]!));

  const allowed = documentedMetrics();
  const listeners = stopgap.app.listening.map(({ what }) => what).length;
  const open = await scrape('application/openmetrics-text');
  assert.match(open, /# EOF\n$/);
  for (const { name, labels, rest } of [...samplesOf(await scrape()), ...samplesOf(open)]) {
    assert.ok(!JSON.stringify([labels, rest]).includes(MARK), name);
    const metric = allowed.get(name) ?? allowed.get(name.replace(/_(bucket|sum|count)$/, ''));
    // Of prom-client's own metrics the page names those that one acts on.
    if (metric === undefined) assert.match(name, /^stopgap_(nodejs|process)_/, 'not documented');
    for (const [label, value] of Object.entries(labels)) {
      if (label === 'le') continue;
      const values = metric?.labels.get(label);
      if (metric !== undefined) assert.ok(metric.labels.has(label), `${name} has ${label}`);
      if (values !== undefined) assert.ok(values.includes(value), `${name}: ${label}="${value}"`);
      if (label === 'rule') assert.ok(['burst', '(none)', '(other)'].includes(value), `${name}: ${value}`);
      if (label === 'route') assert.match(value, ROUTE, name);
      if (label === 'status') assert.match(value, /^(\d{3}|gone)$/, name);
      if (label !== 'listener') assert.doesNotMatch(value, /@|\d+\.\d+\.\d+\.\d+(?!\.)/, `${name}: ${label}`);
    }
  }
  const ends = samplesOf(open).filter(({ name }) => name.startsWith('stopgap_certificate_expiry'));
  assert.ok(ends.length > 0 && ends.length <= listeners);
  await session.quit();
});

const seriesOf = ({ name, labels }: Sample): string => `${name} ${JSON.stringify(labels)}`;

async function atSubmission(stopgap: Stopgap): Promise<void> {
  const stranger = await stopgap.hello({ ehlo: word() });
  await stranger.login(address(), word());
  await stranger.sayAll([`MAIL FROM:<${address()}>`, `RCPT TO:<${address()}>`, word(), 'DATA']);
  stranger.vanish();
  const blocked = await stopgap.hello({ ehlo: word() });
  await blocked.login(ALICE, PASSWORDS[ALICE]!);
  blocked.vanish();
  (await Dialogue.connect(stopgap.port())).vanish();
}

async function atInbound(stopgap: Stopgap): Promise<void> {
  const stranger = await stopgap.stranger({ ehlo: word() });
  await stranger.send(address(), [`${word()}@example.com`]);
  await stranger.sayAll([`MAIL FROM:<${address()}>`, `RCPT TO:<${address()}>`, `VRFY ${word()}`, 'RSET']);
  await stranger.quit();
}

async function atTheApi(stopgap: Stopgap): Promise<void> {
  for (const method of ['GET', 'POST', 'PURGE', 'PROPFIND', 'OPTIONS', 'HEAD']) {
    const names = { 'x-request-id': word(), authorization: `Bearer ${word()}`, 'user-agent': word() };
    const hostile = { ...names, accept: `application/${word()}`, host: word() };
    for (const path of [
      `/${word()}`,
      `/api/v1/${word()}/${address()}`,
      `/api/v1/blocks/${word()}?${word()}=1`,
    ])
      await ask(stopgap, method, path, hostile);
    for (const path of ['/metrics', '/healthz', `/readyz?${word()}=${word()}`])
      await ask(stopgap, method, path, hostile);
  }
}

/** As no decent client would: any method, any header. */
function ask(
  stopgap: Stopgap,
  method: string,
  path: string,
  headers: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const given = Object.fromEntries(Object.entries(headers).filter(([, value]) => value !== undefined));
  return new Promise((resolve, reject) => {
    const asking = http.request({
      port: stopgap.port('HTTP'),
      host: '127.0.0.1',
      method,
      path,
      headers: given,
      agent: false,
    });
    asking.on('error', reject).on('response', (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(text)).on('error', reject);
    });
    asking.end();
  });
}
