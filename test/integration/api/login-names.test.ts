import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { CheckJson } from '../../../src/api/check.js';
import type { ForgottenJson } from '../../../src/api/forget.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import type { Role } from '../../../src/accounts/roles.js';
import { MINUTE } from '../../../src/kernel/time.js';
import { ApiServer } from '../../support/api/server.js';

const [LOGIN, FOREIGN, OTHER] = ['a@own.example', 'x@foreign.example', 'b@own.example'] as const;

describe('a login that counts for an account of another name', () => {
  let server: ApiServer;
  /** What logins count for. */
  let accounts: Readonly<Record<string, string>> = {};
  let settings: Partial<ApiDependencies> = {};
  before(async () => {
    server = await ApiServer.start((deps) => ({
      ...deps,
      accountOf: (login) => accounts[login],
      maySend: (account, returnPath) => account === returnPath,
      failedLogins: (account) => {
        const last = { count: 7, at: server.clock.now(), network: '203.0.113.9' };
        const [since, isKnown, wasNone] = [last.at - MINUTE, true, false];
        return account === FOREIGN ? { failed: last, putOff: undefined, since, isKnown, wasNone } : undefined;
      },
      get accountState() {
        return settings.accountState;
      },
      get mayRename() {
        return settings.mayRename ?? false;
      },
    }));
  });
  after(() => server.stop());
  beforeEach(() => {
    [accounts, settings] = [{}, {}];
  });

  const ask = async (query: string, role: Role = 'viewer'): Promise<{ check: CheckJson; text: string }> => {
    const { status, json, text } = await server.get(`/api/v1/check?${query}`, { role });
    assert.equal(status, 200, text);
    return { check: json as unknown as CheckJson, text };
  };

  test('tells the administrator of a domain nothing of an account elsewhere but that it is refused', async () => {
    const { id } = await server.block(FOREIGN);
    await server.refused(FOREIGN, id, 'auth', '535 5.7.8 Authentication failed');
    accounts = { [LOGIN]: FOREIGN };
    for (const more of ['', '&said=535', `&returnPath=${FOREIGN.replace('x@foreign', 'c@own')}`]) {
      const { check, text } = await ask(`account=${LOGIN}${more}`, 'domain');
      assert.deepEqual([check.refused, check.auth.outcome, check.rcpt.outcome], [true, 'refused', 'refused']);
      assert.match(check.sentence, /Its logins count for an account that is of none of your domains/);
      assert.match(
        check.sentence,
        /Mail of this sender is refused by a block that is of none of your domains/,
      );
      assert.deepEqual([check.failedLogins, check.matching, check.refusals], [null, [], []]);
      for (const strange of ['foreign', '203.0.113.9', id]) assert.ok(!text.includes(strange), text);
    }
    const { check } = await ask(`account=${LOGIN}`);
    assert.deepEqual([check.sender.account, check.block?.id], [FOREIGN, id]);
    assert.equal(check.failedLogins!.failed, 7);
    assert.equal(check.refusals!.length, 1);
  });

  test('tells the administrator of a domain of an account of theirs, and asks for its return paths', async () => {
    accounts = { [LOGIN]: OTHER };
    const { check } = await ask(`account=${LOGIN}&returnPath=${OTHER}`, 'domain');
    assert.deepEqual([check.sender.account, check.mail.outcome, check.refused], [OTHER, 'passes', false]);
    assert.match(check.sentence, new RegExp(`^Logins of ${LOGIN} count for the account ${OTHER}: `));
    const arriving = (await ask(`account=${LOGIN}&direction=inbound`)).check;
    assert.equal(arriving.sender.account, LOGIN);
  });

  test('is named where a person would decide on it: a block, an exemption and own limits are refused', async () => {
    accounts = { alice: OTHER };
    const subject = { type: 'account', value: 'alice' };
    for (const [method, at, body, field] of [
      ['POST', 'blocks', { subject, duration: '1h' }, 'subject.value'],
      ['POST', 'exemptions', { subject, reason: 'theirs', indefinite: true }, 'subject.value'],
      ['PUT', 'overrides/account/alice', { factor: 2, reason: 'theirs' }, 'value'],
    ] as const) {
      const { status, json } = await server.call(method, `/api/v1/${at}`, { body });
      assert.deepEqual([status, json.code], [400, 'invalid-input']);
      assert.match(
        JSON.stringify(json),
        new RegExp(`"${field}".*logins of alice count for the account ${OTHER}: name that one`),
      );
    }
  });

  test('may be decided on where mail counts for it: a mail server may count by what is typed', async () => {
    accounts = { typed: OTHER };
    await server.sent('typed', 1);
    assert.equal((await server.block('typed'))['subject'].value, 'typed');
  });

  test('is forgotten with a word on what else is to be', async (t) => {
    [accounts, settings] = [{ tom: OTHER }, { mayRename: true }];
    // The process forgets the names with the person.
    const { forgetting } = server.deps;
    const execute = forgetting.execute.bind(forgetting);
    t.mock.method(forgetting, 'execute', async (...args: Parameters<typeof execute>) => {
      const forgotten = await execute(...args);
      accounts = {};
      return forgotten;
    });
    const remains = async (value: string): Promise<string> => {
      const body = { subject: { type: 'account', value } };
      const { status, json } = await server.post('/api/v1/forget', body, { role: 'admin' });
      assert.equal(status, 200);
      return (json as unknown as ForgottenJson).remains.join('\n');
    };
    await server.block('x@own.example', { description: 'tom called' });
    const known = await remains('tom');
    assert.match(known, new RegExp(`Logins of tom count for the account ${OTHER}: forget that one too`));
    assert.match(known, /^No mail and no limit of a login of this name was stored/);
    assert.match(await remains('tim'), /^A login without a domain may count under another name/m);
    assert.doesNotMatch(await remains('tim@own.example'), /forget that one too|of this name was stored/);
  });

  test('is of the domain of its account, for the administrator of that', async () => {
    accounts = { alice: OTHER, eve: FOREIGN };
    const asked = async (account: string): Promise<number> =>
      (await server.get(`/api/v1/check?account=${account}`, { role: 'domain' })).status;
    assert.deepEqual([await asked('alice'), await asked('eve'), await asked('zoe')], [200, 404, 404]);
  });

  test('finds the block of the account at a past instant', async () => {
    const { id } = await server.block('past@own.example');
    const then = new Date(server.clock.now()).toISOString();
    server.clock.advance(MINUTE);
    accounts = { past: 'past@own.example' };
    const { check } = await ask(`account=past&at=${then}`);
    assert.deepEqual([check.refused, check.block?.id], [true, id]);
  });

  test('says that a name without a domain may count under another one, only where that may be', async () => {
    const isSaid = async (query: string): Promise<boolean> =>
      (await ask(query)).check.sentence.includes('may count under another name');
    assert.equal(await isSaid('account=zoe'), false);
    settings = { mayRename: true };
    assert.equal(await isSaid('account=zoe'), true);
    const then = new Date(server.clock.now() - MINUTE).toISOString();
    assert.equal(await isSaid(`account=zoe&at=${then}`), true);
    assert.equal(await isSaid('account=zoe@own.example'), false);
    accounts = { zoe: 'zoe' };
    assert.equal(await isSaid('account=zoe'), false);
    [accounts, settings] = [{}, { mayRename: true, accountState: () => 'active' }];
    assert.equal(await isSaid('account=zoe'), false);
    assert.equal(await isSaid(`account=zoe&at=${then}`), false);
  });
});
