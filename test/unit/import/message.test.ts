import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Said } from '../../../src/import/postfix-log/message.js';
import { readMessage } from '../../../src/import/postfix-log/message.js';

const NOWHERE = { toProgram: false, relay: undefined, handedTo: undefined };

/* What the golden logs in test/integration/import do not show: the forms that are told apart line by line. */
describe('what a daemon of Postfix says', () => {
  test('matters only if it is about a message, a refused recipient or a login', () => {
    for (const [daemon, text] of [
      ['smtpd', 'connect from unknown[192.0.2.7]'],
      ['smtpd', 'disconnect from unknown[192.0.2.7] ehlo=1 auth=0/1 quit=1 commands=2/3'],
      ['smtpd', 'warning: unknown[192.0.2.7]: SASL PLAIN authentication aborted'],
      [
        'smtpd',
        'NOQUEUE: reject: CONNECT from unknown[192.0.2.7]: 554 5.7.1 <unknown>: Client host rejected',
      ],
      ['smtpd', '16613AA8102: reject: DATA from unknown[192.0.2.7]: 503 5.5.0 <DATA>: Data command rejected'],
      ['qmgr', '387D2AA8167: from=<bob@example.com>, status=expired, returned to sender'],
      ['qmgr', 'warning: bounce_queue_lifetime is larger than maximal_queue_lifetime'],
      ['cleanup', '16613AA8102: milter-reject: END-OF-MESSAGE from unknown[192.0.2.7]: 5.7.1 Spam'],
      ['bounce', '16613AA8102: sender delay notification: 7FCA8AA816D'],
      ['bounce', '16613AA8102: postmaster non-delivery notification: 7FCA8AA816D'],
      ['smtp', 'connect to mx.example.net[198.51.100.25]:25: Connection refused'],
      ['smtp', '16613AA8102: host mx.example.net[198.51.100.25] said: 450 4.7.1 Greylisted'],
      ['anvil', 'statistics: max connection rate 1/60s for (smtp:192.0.2.7) at Nov 24 03:04:05'],
      ['postscreen', 'CONNECT from [192.0.2.7]:40000 to [192.0.2.1]:25'],
    ] as const)
      assert.equal(readMessage(daemon, text), undefined, `${daemon}: ${text}`);
  });

  test('tells the name of a failed login where it is one, and that it failed where it is none', () => {
    const failed = (rest: string) =>
      readMessage('smtpd', `warning: pc[192.0.2.7]: SASL LOGIN authentication failed: UGFzc3dvcmQ6${rest}`);
    const none = { kind: 'loginFailed', ip: '192.0.2.7' };
    assert.deepEqual(failed(', sasl_username=alice@example.com'), { ...none, account: 'alice@example.com' });
    for (const rest of [
      '',
      ', sasl_username=',
      ', sasl_username=(unavailable)',
      `, sasl_username=${'x'.repeat(5000)}`,
    ])
      assert.deepEqual(failed(rest), none, rest);
  });

  test('names a client by its address, with any host name and port', () => {
    for (const [client, ip] of [
      ['pc.example.net[192.0.2.7]', '192.0.2.7'],
      ['unknown[2001:db8::7]:51234', '2001:db8::7'],
      ['unknown[unknown]', undefined],
      ['localhost[local]', undefined],
      ['unknown[::ffff:192.0.2.7]', '192.0.2.7'],
    ] as const) {
      const said = readMessage('smtpd', `16613AA8102: client=${client}, sasl_method=PLAIN, sasl_username=a`);
      assert.deepEqual(said, {
        kind: 'taken',
        queueId: '16613AA8102',
        ip,
        account: 'a',
        originalId: undefined,
        originalIp: undefined,
      });
    }
  });

  test('names a login that may hold nearly anything', () => {
    const loginOf = (rest: string): unknown =>
      (readMessage('smtpd', `1A: client=unknown[192.0.2.7]${rest}`) as { account?: unknown }).account;
    assert.equal(loginOf(''), undefined);
    assert.equal(loginOf(', sasl_method=PLAIN, sasl_username=DOMAIN\\bob smith'), 'DOMAIN\\bob smith');
    assert.equal(loginOf(', sasl_method=PLAIN, sasl_username=a,b@example.com'), 'a,b@example.com');
    assert.equal(loginOf(', sasl_username=bob, sasl_sender=<x@example.com>'), 'bob');
    assert.equal(loginOf(', sasl_sender=<x@example.com>'), undefined);
  });

  test('is a delivery to whom the sender wrote, if an alias has a domain', () => {
    const told = (text: string): unknown => readMessage('virtual', text);
    const rest = 'relay=virtual, delay=1, delays=0/0/0/1, dsn=2.0.0, status=sent (delivered to maildir)';
    assert.deepEqual(told(`1A: to=<bob@example.com>, orig_to=<sales@example.com>, ${rest}`), {
      kind: 'tried',
      queueId: '1A',
      to: 'sales@example.com',
      deferred: false,
      toFilter: false,
      ...NOWHERE,
    });
    assert.deepEqual(told(`1A: to=<bob@mail.example.com>, orig_to=<root>, ${rest}`), {
      kind: 'tried',
      queueId: '1A',
      to: 'bob@mail.example.com',
      deferred: false,
      toFilter: false,
      ...NOWHERE,
    });
  });

  test('names the next server, and the id that it answered, not one in the name of a recipient', () => {
    const told = (to: string, relay: string, said: string): unknown =>
      readMessage(
        relay === 'filter' ? 'pipe' : 'smtp',
        `1A: to=<${to}>, relay=${relay}, delay=1, dsn=2.0.0, status=${said}`,
      );
    const filter = '127.0.0.1[127.0.0.1]:10024';
    const tried = {
      kind: 'tried',
      queueId: '1A',
      to: 'x@a.test',
      deferred: false,
      toFilter: true,
      toProgram: false,
    };
    assert.deepEqual(told('x@a.test', filter, 'sent (250 2.0.0 Ok: queued as 2B)'), {
      ...tried,
      relay: '127.0.0.1',
      handedTo: '2B',
    });
    assert.deepEqual(told('"queued as 9F"@a.test', 'mx.a.test[2001:db8::7]:25', 'sent (250 OK)'), {
      ...tried,
      to: '"queued as 9F"@a.test',
      relay: '2001:db8::7',
      handedTo: undefined,
    });
    assert.deepEqual(told('x@a.test', 'filter', 'sent (delivered via filter service)'), {
      ...tried,
      toProgram: true,
      relay: undefined,
      handedTo: undefined,
    });
    assert.deepEqual(told('x@a.test', 'mx[private/lmtp]', 'sent (250 2.0.0 <x@a.test> fW4q Saved)'), {
      ...tried,
      toFilter: false,
      relay: undefined,
      handedTo: undefined,
    });
    assert.deepEqual(told('x@a.test', 'none', 'deferred (queued as 2B)'), {
      ...tried,
      deferred: true,
      toFilter: false,
      relay: undefined,
      handedTo: undefined,
    });
  });

  test('believes no delivery that the name of a recipient tells of, nor the one that comes after it', () => {
    const feigned = 'relay=f[127.0.0.1]:10024, status=sent (250 queued as 2B)';
    for (const to of [`"a>, ${feigned}"@a.test`, `a>, ${feigned}@a.test`, `a>, relay=f`])
      for (const status of ['bounced (Host not found)', 'sent (250 queued as 3C)']) {
        const said = readMessage('smtp', `1A: to=<${to}>, relay=none, delay=1, dsn=5.4.4, status=${status}`);
        const { toFilter, handedTo } = said as Said & { kind: 'tried' };
        assert.deepEqual([toFilter, handedTo], [false, undefined], to);
      }
  });

  test('believes no id where the name of a recipient tells of one, which a mailbox may repeat in its answer', () => {
    const told = (to: string, relay: string, said: string): unknown => {
      const text = `1A: to=<${to}>, relay=${relay}, delay=1, dsn=2.0.0, status=sent (250 2.0.0 ${said})`;
      const { toFilter, handedTo } = readMessage('lmtp', text) as Said & { kind: 'tried' };
      return [toFilter, handedTo];
    };
    const name = '"bob+queued as 2B"@a.test';
    for (const to of [name, `bob@a.test>, orig_to=<${name}`, name.replace('queued as', 'Queued AS')]) {
      assert.deepEqual(told(to, 'mx[private/lmtp]', `<${name}> fW4q Saved`), [false, undefined], to);
      assert.deepEqual(told(to, 'lmtp[127.0.0.1]:24', `${name} saved`), [true, undefined], to);
    }
    assert.deepEqual(told('bob@a.test', 'mx[private/filter]', 'Ok: queued as 2B'), [true, '2B']);
  });

  test('takes the id of a message from what a filter before the queue has answered, not from a return path', () => {
    const accepted = (answer: string): unknown =>
      readMessage(
        'smtpd',
        `proxy-accept: END-OF-MESSAGE: 250 2.0.0 ${answer}; from=<"queued as 9F"@a.test> to=<x@a.test> proto=ESMTP helo=<pc>`,
      );
    assert.deepEqual(accepted('Ok: queued as 2B'), {
      kind: 'proxied',
      queueId: '2B',
      account: undefined,
      ehlo: 'pc',
    });
    assert.equal(accepted('Ok'), undefined);
  });

  test('is read whatever a client wrote into a name', () => {
    const rejected = (from: string, ehlo: string): unknown =>
      readMessage(
        'smtpd',
        `NOQUEUE: reject: RCPT from pc[192.0.2.7]: 550 5.1.1 <x@a.test>: Recipient address rejected: User unknown; from=<${from}> to=<x@a.test> proto=ESMTP helo=<${ehlo}>`,
      );
    for (const [from, ehlo] of [
      ['a: client=b@a.test', 'pc'],
      ['a@a.test', 'a:?client=b'],
    ] as const)
      assert.deepEqual(rejected(from, ehlo), {
        kind: 'refused',
        queueId: undefined,
        ip: '192.0.2.7',
        code: 550,
        from,
        account: undefined,
        ehlo,
      });
  });

  test('names the sender as Postfix sends his mail, where it has refused a recipient before it wrote that', () => {
    for (const [from, sent] of [
      ['eve%example.com', 'eve@example.com'],
      ['example.com!eve', 'eve@example.com'],
      ['"eve x%example.com"', '"eve x%example.com"'],
    ] as const) {
      const text = `NOQUEUE: reject: RCPT from pc[192.0.2.7]: 550 5.1.1 <x@a.test>: Recipient address rejected: User unknown; from=<${from}> to=<x@a.test> proto=ESMTP helo=<pc>`;
      const read = readMessage('smtpd', text);
      assert.equal(read?.kind === 'refused' ? read.from : read, sent);
    }
  });

  test('is garbled if it begins like what matters and breaks off', () => {
    for (const [daemon, text] of [
      ['smtpd', '16613AA8102: client=pc.example.n'],
      ['qmgr', '16613AA8102: from=<alice@example.com>, size=42'],
      ['smtp', '16613AA8102: to=<carol@example.net>, relay=mx.example.net[198'],
    ] as const)
      assert.equal(readMessage(daemon, text)?.kind, 'garbled', `${daemon}: ${text}`);
  });
});
