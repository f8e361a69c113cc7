import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { newId } from '../../../src/runtime/ids.js';
import { formatInstant, HOUR, MINUTE } from '../../../src/kernel/time.js';
import { DEFAULT_RULES } from '../../../src/rules/defaults.js';
import { parseRules } from '../../../src/rules/parse.js';
import { sendStream } from '../../../src/sending/events.js';
import { ApiServer } from '../../support/api/server.js';
import { sent } from '../../support/sends.js';
import { besideServer, Terminal } from './support.js';

const VALID = `version: 1
mode: observe
rules:
  - { id: burst, per: account, count: recipients, window: 10m, limit: 50, then: block, for: 1h }
`;

describe('stopgap check and stopgap rules', () => {
  let server: ApiServer;
  let terminal: Terminal;
  besideServer((both) => ({ server, terminal } = both));

  test('stopgap check ends with 0 if the sender is not refused, and says why it thinks so', async () => {
    const { code, out, err } = await terminal.run(
      'check',
      '--account',
      'fine@example.com',
      '--ip',
      '192.0.2.1',
    );
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, /^This sender is not refused/);
    assert.match(out, /account fine@example\.com +burst +0 of 100 recipients +within 10m/);
  });

  test('stopgap check ends with 3 if the sender is refused', async () => {
    await server.block('bad@example.com');
    const { code, out, err } = await terminal.run('check', '--account', 'BAD@example.com');
    assert.deepEqual([code, err], [3, '']);
    assert.match(out, /^This sender is refused: account bad@example\.com is blocked by an administrator/);
    assert.match(out, /AUTH +refused: 535 5\.7\.8 /);
    const json = await terminal.run('check', '--account', 'bad@example.com', '--json');
    assert.equal(json.code, 3);
    assert.equal((JSON.parse(json.out) as { refused: boolean }).refused, true);
  });

  test('stopgap check --at tells spans as of that instant', async () => {
    await server.block('then@example.com', { duration: '2h' });
    server.clock.advance(MINUTE);
    const at = formatInstant(server.clock.now());
    server.clock.advance(HOUR);
    const { code, out } = await terminal.run('check', '--account', 'then@example.com', '--at', at);
    assert.equal(code, 3);
    assert.match(out, /active +until \S+ \(in 1h59m\)/);
  });

  test('stopgap check says what a rule leaves out', async () => {
    const wide =
      'version: 1\nrules: [{ id: wide, per: account, count: recipients, leaveOut: 2, window: 10m, limit: 40, then: propose, for: 2h }]';
    const other = await ApiServer.start();
    const there = await Terminal.at(other);
    try {
      await other.call('PUT', '/api/v1/rules', { body: { source: wide } });
      const { out } = await there.run('check', '--account', 'fine@example.com');
      assert.match(out, / wide +0 of 40 recipients +within 10m, less the two largest$/m);
    } finally {
      await there.close();
      await other.stop();
    }
  });

  test('stopgap check says of a window how much of it counts, and of no rule that it tripped if another one did', async () => {
    const source =
      'version: 1\nrules: [{ id: minute, per: account, count: messages, window: 1m, limit: 1, then: block, for: 1h }, { id: hour, per: account, count: messages, window: 1h, limit: 40, then: block, for: 1h }, { id: lists, per: account, count: refusedRecipients, window: 1h, limit: 5, then: block, for: 1h }]';
    const other = await ApiServer.start();
    const there = await Terminal.at(other);
    try {
      await other.call('PUT', '/api/v1/rules', { body: { source } });
      const { store, models, clock } = other.deps;
      const account = 'three@example.com';
      const send = async (): Promise<void> => {
        const { type, data } = sent(clock.now(), 0, { account, returnPath: account });
        const event = { type, data, id: newId(), at: clock.now(), by: 'smtp:test' };
        await models.reached((await store.append(sendStream(account), [event], 'any')).position);
      };
      await send();
      await send();
      await other.trip(account, 'block', 'minute');
      const { out } = await there.run('check', '--account', account);
      const counts = '0 of them count: the rest has tripped the rule already, or was decided on';
      assert.match(out, new RegExp(` minute +2 of 1 messages +within 1m +${counts}$`, 'm'));
      assert.match(out, new RegExp(` hour +2 of 40 messages +within 1h +${counts}$`, 'm'));
      assert.match(out, / lists +0 of 5 refusedRecipients +within 1h *$/m);
    } finally {
      await there.close();
      await other.stop();
    }
  });

  test('check names the proposals that wait, and how they are decided on', async () => {
    const other = await ApiServer.start();
    const there = await Terminal.at(other);
    try {
      const id = await other.trip('waits@example.com', 'propose', 'minute');
      const { code, out } = await there.run('check', '--account', 'waits@example.com');
      assert.equal(code, 0);
      assert.match(
        out,
        new RegExp(
          `^Proposals that wait for you \\(stopgap block approve ID, or dismiss ID\\):\n {2}${id} {2}account waits@example\\.com {2}rule minute {2}lapses in 24h$`,
          'm',
        ),
      );
    } finally {
      await there.close();
      await other.stop();
    }
  });

  test('stopgap check shows the refusal of a return path that the account may not use', async () => {
    const other = await ApiServer.start((deps) => ({ ...deps, maySend: () => false }));
    const there = await Terminal.at(other);
    try {
      const who = ['--account', 'a@example.com', '--return-path', 'b@example.com'];
      const { code, out } = await there.run('check', ...who);
      assert.equal(code, 3);
      assert.match(out, /^ {2}AUTH +passes\n {2}MAIL FROM +refused: 553 .*\n {2}RCPT TO +not asked$/m);
    } finally {
      await there.close();
      await other.stop();
    }
  });

  test('stopgap check says which limits apply now, and of accounts that turn together how many have', async () => {
    const source = `version: 1
learning: { days: 1, age: 1m, installation: 1m }
rules:
  - { id: first, per: account, count: recipients, window: 24h, limit: 9, when: { learning: false }, then: propose, for: 2h }
  - { id: odd, per: account, count: messages, window: 10m, limit: 5, when: { distinct: { networks: 3 } }, then: propose, for: 2h }
  - { id: all, per: domain, count: accounts, window: 30m, limit: 1, turned: { count: messages, window: 20m, limit: { baseline: 1x, floor: 1 }, alarm: 1h, after: 1m }, then: propose, for: 1h }
`;
    const other = await ApiServer.start();
    const there = await Terminal.at(other);
    const check = async (account: string): Promise<string> =>
      (await there.run('check', '--account', account)).out;
    const send = async (account: string): Promise<void> => {
      const { store, models, clock } = other.deps;
      const { type, data } = sent(clock.now(), 0, { account, returnPath: account });
      const messages = [1, 2].map(() => ({ type, data, id: newId(), at: clock.now(), by: 'smtp:test' }));
      const { position } = await store.append(sendStream(account), messages, 'any');
      await models.reached(position);
    };
    try {
      await other.call('PUT', '/api/v1/rules', { body: { source } });
      other.clock.advance(MINUTE);
      const quiet = await check('a@example.com');
      assert.match(
        quiet,
        /^ {2}account a@example\.com +odd +0 of 5 messages +within 10m +and more than 3 different networks \(0 now\)$/m,
      );
      assert.match(
        quiet,
        /^ {2}account a@example\.com +all +0 of 1 messages +within 20m +and it is where it was on no day before, or sends more than twice as much; has not turned; 0 of 1 accounts of example\.com within 30m have$/m,
      );
      assert.match(quiet, /^ {2}domain example\.com +all +0 of 1 accounts +within 30m$/m);
      const apart = quiet.split('Not for this sender now:\n')[1]!;
      assert.equal(
        apart,
        '  account a@example.com  first  asks for a sender that is known: it is still being learnt\n',
      );
      await send('a@example.com');
      other.clock.advance(MINUTE);
      const turned = await check('a@example.com');
      assert.match(
        turned,
        /all +2 of 1 messages +within 20m +and it is where [^;]+; turned 1m ago; 1 of 1 accounts of example\.com within 30m have$/m,
      );
      await send('b@example.com');
      const alarmed = await check('c@example.com');
      assert.match(
        alarmed,
        /has not turned; 0 of 1 accounts of example\.com within 30m have; on alarm, over in 1h: a sender that turns is acted upon at once$/m,
      );
      assert.match(
        alarmed,
        /^ {2}domain example\.com +all +0 of 1 accounts +within 30m +on alarm, over in 1h: a sender that turns is acted upon at once$/m,
      );
    } finally {
      await there.close();
      await other.stop();
    }
  });

  test('stopgap check takes the null sender, and wants somebody', async () => {
    assert.equal((await terminal.run('check', '--return-path', '')).code, 0);
    const nobody = await terminal.run('check');
    assert.equal(nobody.code, 2);
    assert.match(nobody.err, /^stopgap: say who/);
    assert.equal((await terminal.run('check', '--ip', '1.2.3')).code, 1);
  });

  test('stopgap rules check needs no server, and names line and reason', async () => {
    const offline = await Terminal.open(server.clock);
    try {
      await writeFile(path.join(offline.cwd, 'good.yaml'), VALID);
      await writeFile(
        path.join(offline.cwd, 'bad.yaml'),
        VALID.replace('10m', 'soon').replace('observe', 'sleep'),
      );
      const good = await offline.run('rules', 'check', 'good.yaml');
      assert.deepEqual([good.code, good.err], [0, 'good.yaml: valid, 1 rule, mode observe\n']);
      const exempt = `exempt:\n  - { subject: { type: ip, value: 192.0.2.1 }, until: 2020-01-01, reason: x }\n`;
      await writeFile(path.join(offline.cwd, 'idle.yaml'), `${VALID}${exempt}`);
      assert.match(
        (await offline.run('rules', 'check', 'idle.yaml')).err,
        /^warning: the exemption of ip 192\.0\.2\.1 ended at 2020-01-01/m,
      );
      const bad = await offline.run('rules', 'check', 'bad.yaml');
      assert.equal(bad.code, 1);
      const lines = bad.err.trimEnd().split('\n');
      assert.equal(lines.length, 2);
      assert.match(lines[0]!, /^stopgap: bad\.yaml:2: mode: must be enforce or observe$/);
      assert.match(lines[1]!, /^stopgap: bad\.yaml:4: rules\[0\]\.window: must be a duration/);
      const missing = await offline.run('rules', 'check', 'none.yaml');
      assert.equal(missing.code, 1);
      assert.match(missing.err, /^stopgap: none\.yaml: does not exist; name a rules file\n$/);
    } finally {
      await offline.close();
    }
  });

  test('stopgap rules check, apply and show warn of rules by which strangers can get others refused', async () => {
    const other = await ApiServer.start();
    const there = await Terminal.at(other);
    try {
      const rules = VALID.replace(
        'rules:\n',
        `rules:
  - { id: names, per: ehlo, count: messages, window: 1h, limit: 9, direction: all, then: block, for: 1h }
`,
      );
      await writeFile(path.join(there.cwd, 'names.yaml'), rules);
      for (const args of [['check', 'names.yaml'], ['apply', 'names.yaml', '--yes'], ['show']]) {
        const { code, err } = await there.run('rules', ...args);
        assert.equal(code, 0, err);
        assert.match(
          err,
          /^warning: rule "names" blocks an EHLO name, which every client chooses: /m,
          args[0],
        );
      }
    } finally {
      await there.close();
      await other.stop();
    }
  });

  test('stopgap rules check, apply, show and shadow warn of rules that ask where clients are if no database tells', async () => {
    const other = await ApiServer.start((deps) => ({ ...deps, places: { country: false, asn: true } }));
    const there = await Terminal.at(other);
    const far = `version: 1
rules:
  - { id: far, per: account, count: messages, window: 1h, limit: 9, when: { newCountry: true }, then: block, for: 1h }
`;
    const warning =
      'warning: rule "far" asks for the country of clients, but geoip.country is not configured: it never trips\n';
    try {
      await writeFile(path.join(there.cwd, 'far.yaml'), far);
      await writeFile(path.join(there.cwd, 'good.yaml'), VALID);
      const check = async (...more: string[]): Promise<[number, string]> => {
        const { code, err } = await there.run('rules', 'check', 'far.yaml', ...more);
        return [code, err];
      };
      const valid = 'far.yaml: valid, 1 rule, mode enforce\n';
      assert.deepEqual(await check(), [0, valid + warning]);
      await writeFile(
        path.join(there.cwd, 'with.yaml'),
        'geoip: { country: ./places.mmdb }\nsmtp: { relay: { url: "maildir:./mail" } }\n',
      );
      assert.deepEqual(await check('--config', 'with.yaml'), [0, valid]);
      await writeFile(path.join(there.cwd, 'wrong.yaml'), 'geoip: { land: ./places.mmdb }\n');
      const [code, said] = await check('--config', 'wrong.yaml');
      assert.equal(code, 0);
      assert.match(
        said,
        /^warning: rules ask where clients are, and whether geoip is configured is not known: wrong\.yaml:1:\d+: .*land/m,
      );
      for (const command of [
        ['shadow', 'apply', 'far.yaml'],
        ['shadow', 'show'],
        ['apply', 'far.yaml', '--yes'],
        ['show'],
      ]) {
        const { err } = await there.run('rules', ...command);
        assert.ok(err.endsWith(warning), `${command.join(' ')}: ${err}`);
      }
      const validated = await other.post('/api/v1/rules/validate', { source: far });
      assert.deepEqual([validated.json.valid, validated.json.warnings.length], [true, 1]);
      assert.ok(!(await there.run('rules', 'apply', 'good.yaml', '--yes')).err.includes('warning'));
    } finally {
      await there.close();
      await other.stop();
    }
  });

  test('stopgap rules apply puts a file in force, rules show prints it', async () => {
    await writeFile(path.join(terminal.cwd, 'rules.yaml'), VALID);
    const refused = await terminal.run('rules', 'apply', 'rules.yaml');
    assert.equal(refused.code, 1);
    assert.match(refused.err, /^changes 1 rule of those in force: burst$/m);
    assert.match(refused.err, /^changes mode$/m);
    assert.match(refused.err, /^stopgap: there is no terminal to ask at: --yes puts these rules in force/m);
    assert.equal((await server.get('/api/v1/rules')).json.version, 1, 'nothing has changed');
    const applied = await terminal.run('rules', 'apply', 'rules.yaml', '--yes');
    assert.equal(applied.code, 0);
    assert.match(applied.err, /^rules version 2 in force: 1 rule, mode observe$/m);
    const again = await terminal.run('rules', 'apply', 'rules.yaml');
    assert.deepEqual([again.code, again.err], [0, 'rules version 2 in force: 1 rule, mode observe\n']);
    const shown = await terminal.run('rules', 'show');
    assert.deepEqual([shown.out, shown.err], [VALID, 'version 2, from api\n']);
    const parsed = JSON.parse((await terminal.run('rules', 'show', '--json')).out) as { version: number };
    assert.equal(parsed.version, 2);
  });

  test('stopgap rules apply and shadow promote say that recorded rules cannot be read, and ask all the same', async () => {
    const other = await ApiServer.start();
    const there = await Terminal.at(other);
    try {
      const { store, models, clock } = other.deps;
      // As an earlier version left them when it had forgotten a login that is a word of the rules.
      const spoilt = VALID.replace('then: block', 'then: forgotten-cc38706d@invalid');
      const data = { version: 2, rules: parseRules(VALID), source: spoilt, origin: 'api' };
      const shadow = { version: 1, rules: parseRules(VALID), source: spoilt };
      const envelope = { at: clock.now(), by: 'admin:me' };
      const { position } = await store.append(
        'rules',
        [
          { id: newId(), type: 'RulesChanged', data, ...envelope },
          { id: newId(), type: 'ShadowRulesChanged', data: shadow, ...envelope },
        ],
        'any',
      );
      await models.reached(position);
      const calm = VALID.replace('id: burst', 'id: calm').replace('then: block', 'then: propose');
      await writeFile(path.join(there.cwd, 'calm.yaml'), calm);
      const unasked = await there.run('rules', 'apply', 'calm.yaml');
      assert.equal(unasked.code, 1);
      assert.match(unasked.err, /^removes 1 rule of those in force: burst$/m);
      assert.match(
        unasked.err,
        /^the text of the rules in force cannot be read, .*: the rules in force:4: rules\[0\]\.then: must be/m,
      );
      assert.match(unasked.err, /--yes puts these rules in force/);
      assert.match(
        (await there.run('rules', 'apply', 'calm.yaml', '--yes')).err,
        /^rules version 3 in force/m,
      );
      const promoting = await there.run('rules', 'shadow', 'promote');
      assert.equal(promoting.code, 1);
      assert.match(promoting.err, /^the text of the shadow rules cannot be read/m);
      assert.equal((await there.run('rules', 'shadow', 'promote', '--yes')).code, 0);
    } finally {
      await there.close();
      await other.stop();
    }
  });

  test('stopgap rules apply names the rules that would go; what extends the built-in ones keeps them', async () => {
    const other = await ApiServer.start();
    const there = await Terminal.at(other);
    const offline = await Terminal.open(other.clock);
    try {
      const built = await offline.run('rules', 'defaults');
      assert.deepEqual([built.code, built.out], [0, DEFAULT_RULES]);
      await writeFile(path.join(there.cwd, 'built-in.yaml'), built.out);
      await writeFile(path.join(there.cwd, 'one.yaml'), VALID);
      await writeFile(path.join(there.cwd, 'more.yaml'), VALID.replace('mode: observe', 'extends: defaults'));
      await there.run('rules', 'apply', 'built-in.yaml', '--yes');
      const one = await there.run('rules', 'apply', 'one.yaml');
      assert.equal(one.code, 1);
      const builtIn = parseRules(DEFAULT_RULES, 'defaults').rules.length;
      assert.match(one.err, new RegExp(`^removes ${builtIn} rules of those in force: minute, hour, `, 'm'));
      const more = await there.run('rules', 'apply', 'more.yaml');
      assert.deepEqual(
        [more.code, more.err],
        [0, `rules version 3 in force: ${builtIn + 1} rules, mode enforce\n`],
      );
    } finally {
      await offline.close();
      await there.close();
      await other.stop();
    }
  });
});
