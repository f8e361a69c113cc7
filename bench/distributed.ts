import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cluster } from '../test/support/distributed/cluster.js';
import type { Node } from '../test/support/distributed/node.js';
import { SERVING } from '../test/support/kurrentdb/forms.js';
import { hasRedisServer } from '../test/support/redis.js';
import { Dialogue } from '../test/support/smtp/dialogue.js';
import { isMain, median, print } from './report.js';
import type { Report, Row } from './report.js';
import { load, PASSWORD, start, USER } from './smtp/processes.js';

const BLOCKS = 100;
const ROUNDS = 3;
const MESSAGES = 3_000;
const CONNECTIONS = 50;

/** Everything counts, nothing trips. */
const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 1000000, then: block, for: 1h }
  - { id: path, per: address, count: messages, window: 1h, limit: 1000000, then: block, for: 1h }
  - { id: domain, per: domain, count: recipients, window: 1h, limit: 1000000, then: propose, for: 4h }
  - { id: network, per: ip, count: messages, window: 1h, limit: 1000000, then: block, for: 1h }
`;

/**
 * Two SMTP processes, a detector with API and worker, a KurrentDB or its stand-in and a Redis, all on this machine:
 * how long a block takes from the API to the other processes' doors, and what they take together beside one embedded
 * process. All of them share the machine's cores with each other and with the load.
 */
export async function run(): Promise<Report> {
  const sink = await start('sink.js');
  const env = { STOPGAP_SMTP_RELAY_URL: `smtp://127.0.0.1:${sink.port}`, STOPGAP_LOG_LEVEL: 'error' };
  const redis = await hasRedisServer();
  const cluster = await Cluster.start({ accounts: [USER], password: PASSWORD, redis, env });
  try {
    const rules = path.join(cluster.dir, 'rules.yaml');
    await writeFile(rules, RULES);
    const center = await cluster.node('center', 'detector,api,worker', { STOPGAP_RULES: rules });
    const doors = [await cluster.node('one', 'smtp'), await cluster.node('two', 'smtp')];
    const alone = { STOPGAP_STORE: 'sqlite', STOPGAP_RULES: rules };
    const embedded = await cluster.node('embedded', 'smtp,detector,api,worker', alone);
    const rows = [...(await blockToRefusal(center, doors[1]!)), ...(await rates(doors, embedded))];
    const name = `Distributed: 2 SMTP, 1 detector+API+worker, KurrentDB (${SERVING})${redis ? ', Redis' : '; no Redis here'}`;
    return { name, rows };
  } finally {
    await cluster.stop();
    await sink.stop();
  }
}

/** From the sending of the API request to the first refusal in a session that was open before. */
async function blockToRefusal(center: Node, door: Node): Promise<Row[]> {
  const session = await Dialogue.hello(door.smtp);
  const login = await session.login(USER, PASSWORD);
  if (!login.startsWith('235')) throw new Error(login);
  const rcpt = async (): Promise<boolean> => {
    await session.sayAll(['RSET', `MAIL FROM:<${USER}>`]);
    return (await session.say('RCPT TO:<a@example.net>')).startsWith('250');
  };
  const times: number[] = [];
  for (let n = 0; n < BLOCKS; n++) {
    while (!(await rcpt()));
    const began = performance.now();
    const made = center.block(USER);
    while (await rcpt());
    times.push(performance.now() - began);
    await center.release(await made);
  }
  while (!(await rcpt()));
  session.vanish();
  times.sort((a, b) => a - b);
  const p99 = times[Math.ceil(0.99 * times.length) - 1]!;
  return [
    { label: `block by API to refusal at another process, p50 of ${BLOCKS}`, value: ms(median(times)) },
    { label: 'the same, p99', value: ms(p99), target: '<= 100 ms', ok: p99 <= 100 },
  ];
}

async function rates(doors: readonly Node[], embedded: Node): Promise<Row[]> {
  for (const node of [...doors, embedded]) await load(node.smtp, 20, 500); // warm
  const distributed: number[] = [];
  const single: number[] = [];
  // In turns, so that what else the machine does falls on both alike.
  for (let round = 0; round < ROUNDS; round++) {
    distributed.push(await together(doors));
    single.push(await together([embedded]));
  }
  const ratio = median(distributed.map((rate, round) => rate / single[round]!));
  return [
    { label: `${CONNECTIONS} connections: two SMTP processes together`, value: rate(median(distributed)) },
    { label: `${CONNECTIONS} connections: one embedded process`, value: rate(median(single)) },
    { label: 'distributed / embedded, on the same cores', value: ratio.toFixed(2) },
  ];
}

/** Messages a second of all of them at once. */
async function together(nodes: readonly Node[]): Promise<number> {
  const began = performance.now();
  const results = await Promise.all(
    nodes.map((node) => load(node.smtp, CONNECTIONS / nodes.length, MESSAGES / nodes.length)),
  );
  const seconds = (performance.now() - began) / 1000;
  const failed = results.find(({ lost, refused }) => lost + refused > 0);
  if (failed !== undefined) throw new Error(JSON.stringify(failed));
  return results.reduce((sum, { accepted }) => sum + accepted, 0) / seconds;
}

const ms = (time: number): string => `${time.toFixed(1)} ms`;
const rate = (perSecond: number): string => `${Math.round(perSecond)}/s`;

if (isMain(import.meta.url)) print(await run());
