import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { addToken } from '../../../src/accounts/tokens.js';
import { DAY, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { ManualClock } from '../manual-clock.js';
import { Receiver } from '../notices/receiver.js';
import { ALICE, BOB, PASSWORDS, Stopgap, WRONG } from '../smtp/stopgap.js';

/** One rule of each kind; that by network is held back, since rules never act on loopback. */
const RULES = `version: 1
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 3, then: block, for: 1h }
  - { id: often, per: account, count: messages, window: 10m, limit: 2, then: propose, for: 1h, lapse: 2h }
  - { id: whole, per: domain, count: recipients, window: 10m, limit: 2, then: observe }
  - { id: network, per: ip, count: recipients, window: 10m, limit: 2, then: block, for: 1h }
`;
const STRICTER = RULES.replace('limit: 3', 'limit: 1').replace(/ {2}- \{ id: often.*\n/, '');
const TO = 'one@elsewhere.test';

/** A Stopgap that everything happens to, on a clock that the test moves. */
export class Busy {
  #days = 0;

  private constructor(
    readonly stopgap: Stopgap,
    readonly clock: ManualClock,
    readonly token: string,
  ) {}

  static async start(t: Pick<TestContext, 'after'>): Promise<Busy> {
    const clock = new ManualClock(systemClock.now());
    const dir = await mkdtemp(path.join(tmpdir(), 'stopgap-tokens-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const file = path.join(dir, 'tokens.yaml');
    const token = await addToken({ file, name: 'me', role: 'admin', now: clock.now() });
    const receiver = await Receiver.start(t);
    const stopgap = await Stopgap.start(t, {
      clock,
      rules: RULES,
      files: { 'tokens.yaml': await readFile(file, 'utf8') },
      settings: {
        api: { listen: '127.0.0.1:0', tokens: './tokens.yaml' },
        notices: { channels: [{ name: 'ops', type: 'ntfy', url: receiver.url('/stopgap') }] },
      },
    });
    return new Busy(stopgap, clock, token);
  }

  /** Where its metrics are. */
  get target(): string {
    return `127.0.0.1:${this.stopgap.port('HTTP')}`;
  }

  /** A request to the API, which has to succeed. */
  async ask(method: string, resource: string, body?: unknown): Promise<unknown> {
    const response = await this.request(method, resource, body);
    const answer = await response.text();
    assert.ok(response.ok, `${method} ${resource}: ${response.status} ${answer}`);
    return answer === '' ? undefined : JSON.parse(answer);
  }

  request(method: string, resource: string, body?: unknown): Promise<Response> {
    const isText = typeof body === 'string';
    const type = isText ? 'application/yaml' : 'application/json';
    return fetch(`http://${this.target}${resource}`, {
      method,
      headers: { authorization: `Bearer ${this.token}`, 'content-type': type },
      ...(body === undefined ? {} : { body: isText ? body : JSON.stringify(body) }),
    });
  }

  /**
   * What a bad day brings: mail in and out, refused recipients, a thief who is blocked, comes back and is released as a
   * false positive, proposals that are approved and dismissed, blocks that run out, other rules, rules in the shadow.
   */
  async day(): Promise<void> {
    const { stopgap, clock } = this;
    await this.ask('PUT', '/api/v1/rules/shadow', STRICTER);
    await this.#mailFromOutside();
    await this.#thief();
    await this.#proposals();
    await this.ask('POST', '/api/v1/blocks', {
      subject: { type: 'ehlo', value: 'win-*' },
      duration: '1h',
      description: 'for an hour',
    });
    for (const resource of ['senders', 'rules', 'exemptions']) await this.ask('GET', `/api/v1/${resource}`);
    assert.equal((await fetch(`http://${this.target}/api/v1/blocks`)).status, 401);
    // What runs out is recorded, cases of the shadow rules are settled, a snapshot falls due.
    for (const span of [HOUR + MINUTE, 2 * HOUR, DAY]) {
      clock.advance(span);
      await stopgap.settled();
    }
    await this.ask(
      'PUT',
      '/api/v1/rules',
      RULES.replace('limit: 2, then: observe', `limit: ${++this.#days + 2}, then: observe`),
    );
  }

  async #mailFromOutside(): Promise<void> {
    const stranger = await this.stopgap.stranger();
    assert.match(await stranger.send('a@far.test', [ALICE]), /^250 /);
    assert.match(await stranger.send('a@far.test', [TO]), /^550 /, 'for no domain of ours');
    await stranger.quit();
  }

  async #thief(): Promise<void> {
    const { stopgap } = this;
    const session = await stopgap.loggedIn();
    stopgap.upstream.script.RCPT = () => '550 5.1.1 unknown';
    assert.match(await session.send(ALICE, [TO]), /^550 /);
    stopgap.upstream.script = {};
    await session.say('RSET');
    const many = Array.from({ length: 4 }, (_, index) => `u${index}@elsewhere.test`);
    assert.match(await session.send(ALICE, many), /^250 /);
    assert.match(await session.send(ALICE, [TO]), /^451 /, 'refused');
    await session.quit();
    const back = await stopgap.hello();
    assert.match(await back.login(ALICE, PASSWORDS[ALICE]!), /^535 /, 'refused softly');
    assert.match(await back.login(BOB, WRONG), /^535 /);
    await back.quit();
    await this.ask('POST', `/api/v1/blocks/${await this.#case('active')}/release`, { falsePositive: true });
  }

  /** One that is approved and runs out, one that is dismissed; the clock moves on by some hours. */
  async #proposals(): Promise<void> {
    for (const verb of ['approve', 'dismiss']) {
      const session = await this.stopgap.loggedIn(BOB);
      for (let each = 0; each < 3; each++) assert.match(await session.send(BOB, [TO]), /^250 /);
      await this.ask('POST', `/api/v1/blocks/${await this.#case('proposed')}/${verb}`);
      await session.quit();
      this.clock.advance(HOUR + MINUTE);
      await this.stopgap.settled();
    }
  }

  /** The id of the one case in that state. */
  async #case(state: string): Promise<string> {
    await this.stopgap.settled();
    const { items } = (await this.ask('GET', `/api/v1/blocks?state=${state}&type=account`)) as {
      items: readonly { id: string }[];
    };
    assert.equal(items.length, 1, `one that is ${state}`);
    return items[0]!.id;
  }
}
