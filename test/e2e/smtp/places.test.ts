import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { SMTPServerSession } from 'smtp-server';
import { RulesCommandHandler } from '../../../src/commands/rules-commands.js';
import { parseRules } from '../../../src/rules/parse.js';
import type { AuthenticationFailed, MessageAccepted } from '../../../src/sending/events.js';
import type { SmtpContext } from '../../../src/smtp/conversation.js';
import { Conversation } from '../../../src/smtp/conversation.js';
import { mmdb } from '../../support/mmdb.js';
import { ALICE, Stopgap, WRONG } from '../../support/smtp/stopgap.js';
import { temporaryDirectory } from '../../unit/config/helpers.js';

const networks = {
  '192.0.2.0/24': { country: { iso_code: 'FR' } },
  '127.0.0.0/8': { country: { iso_code: 'XX' } },
};

async function withDatabase(context: TestContext, type: string, builtAt: number): Promise<Stopgap> {
  const file = path.join(temporaryDirectory(context), 'places.mmdb');
  await writeFile(file, mmdb({ type, networks, builtAt }));
  return Stopgap.start(context, { settings: { geoip: { country: file } } });
}

test('a process that is given a database says whether it is old, and knows no place of loopback', async (context) => {
  const stopgap = await withDatabase(context, 'Test-Country', Date.UTC(2020, 0, 1));
  assert.ok(stopgap.logs.some((line) => line.includes('a database of places is old: get a newer one')));
  const session = await stopgap.loggedIn();
  await session.send(ALICE, ['bob@example.org']);
  const guesser = await stopgap.hello();
  await guesser.login(ALICE, WRONG);
  const [sent] = await stopgap.all<MessageAccepted>('MessageAccepted');
  const [failed] = await stopgap.all<AuthenticationFailed>('AuthenticationFailed');
  for (const { data } of [sent!, failed!]) assert.deepEqual([data.country, data.asn], [undefined, undefined]);
});

test('a process that is given the wrong database does not start', async (context) => {
  await assert.rejects(
    withDatabase(context, 'Test-ASN', Date.now()),
    /geoip\.country: .*places\.mmdb: is a database of type Test-ASN; name one of countries/,
  );
});

test('rules that ask where clients are, if nobody tells, are logged when they come into force', async (context) => {
  const rules = `version: 1
rules:
  - { id: far, per: account, count: messages, window: 1h, limit: 9, when: { newCountry: true }, then: block, for: 1h }
`;
  const [INFO, WARN] = [30, 40];
  const lines = ({ logs }: Stopgap): readonly unknown[] =>
    logs
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === 'rules are in force' || String(msg).startsWith('a rule asks where'))
      .map(({ msg, level, version, rule, setting, never }) => [msg, level, version, rule, setting, never]);
  const inForce = (version: number): unknown[] => [
    'rules are in force',
    INFO,
    version,
    undefined,
    undefined,
    undefined,
  ];
  const asks = (version: number): unknown[] => [
    'a rule asks where clients are, and no database tells',
    WARN,
    version,
    'far',
    'geoip.country',
    true,
  ];
  const stopgap = await Stopgap.start(context, { rules });
  assert.deepEqual(lines(stopgap), [inForce(1), asks(1)]);
  const blockCommands = new RulesCommandHandler(stopgap.app.store, stopgap.clock);
  const source = `${rules}mode: observe\n`;
  const command = { kind: 'replace', origin: 'api', rules: parseRules(source), source } as const;
  const { position } = await blockCommands.execute(command, { by: 'admin:test' });
  await stopgap.app.models.reached(position);
  assert.deepEqual(lines(stopgap).slice(2), [inForce(2), asks(2)]);
});

test('a client is looked for once, and what is recorded of it says where it is', () => {
  const asked: string[] = [];
  const placeOf = (ip: string) => {
    asked.push(ip);
    return { country: 'FR', asn: 64_500 };
  };
  const session = { id: 's', remoteAddress: '::ffff:192.0.2.9', hostNameAppearsAs: 'pc.example.com' };
  const conversation = new Conversation(
    { placeOf } as unknown as SmtpContext,
    session as unknown as SMTPServerSession,
    'outbound',
  );
  assert.deepEqual(asked, [], 'not before there is something to record');
  const expected = {
    direction: 'outbound',
    ehlo: 'pc.example.com',
    ip: '192.0.2.9',
    country: 'FR',
    asn: 64_500,
  };
  assert.deepEqual(conversation.fields(), expected);
  assert.deepEqual(conversation.fields(), expected);
  assert.deepEqual(conversation.place, { country: 'FR', asn: 64_500 });
  assert.deepEqual(asked, ['192.0.2.9']);
});
