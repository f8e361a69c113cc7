import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageAccepted } from '../../../src/sending/events.js';
import { Dialogue } from '../../support/smtp/dialogue.js';
import { ALICE, PASSWORDS, Stopgap } from '../../support/smtp/stopgap.js';

const TO = 'one@elsewhere.test';

test('what a session may say, and what it is answered', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: { maxRecipients: 3, maxMessageSize: '20kB' } });
  const { upstream } = stopgap;
  const session = await stopgap.loggedIn();
  const last = (): string[] => upstream.peers.at(-1)!.commands;

  await t.test('EHLO offers what is there', async () => {
    const open = await stopgap.hello();
    const lines = (await open.say('EHLO client.test')).split('\r\n').map((line) => line.slice(4));
    assert.deepEqual(lines.slice(1), [
      'PIPELINING',
      '8BITMIME',
      'SMTPUTF8',
      'DSN',
      'AUTH PLAIN LOGIN',
      'STARTTLS',
      'SIZE 20000',
    ]);
    await open.quit();
  });

  await t.test('one recipient too many in a message: 452, the others stay', async () => {
    await session.say(`MAIL FROM:<${ALICE}>`);
    for (const name of ['a', 'b', 'c']) assert.match(await session.say(`RCPT TO:<${name}@x.test>`), /^250 /);
    assert.match(await session.say('RCPT TO:<d@x.test>'), /^452 /);
    assert.match(await session.say('RCPT TO:<c@x.test>'), /^250 /, 'the same once more is no other');
    assert.match(await session.say('RCPT TO:<C@x.test>'), /^452 /, 'spelled differently it may be another');
    await session.say('DATA');
    assert.match(await session.say('Subject: x\r\n\r\nx\r\n.'), /^250 /);
    assert.equal(upstream.messages.at(-1)!.to.length, 3);
    const [event] = await stopgap.all<MessageAccepted>('MessageAccepted');
    assert.equal(event!.data.recipients, 3);
    assert.deepEqual(event!.data.recipientDomains, ['x.test']);
  });

  await t.test('too large, as declared and as sent', async () => {
    assert.match(await session.say(`MAIL FROM:<${ALICE}> SIZE=20001`), /^552 /);
    const before = upstream.messages.length;
    const reply = await session.send(ALICE, [TO], `Subject: x\r\n\r\n${`${'x'.repeat(98)}\r\n`.repeat(201)}`);
    assert.equal(reply, '552 5.3.4 Message exceeds the size limit');
    assert.equal(upstream.messages.length, before);
    assert.match(
      await session.send(ALICE, [TO], `Subject: x\r\n\r\n${`${'x'.repeat(98)}\r\n`.repeat(190)}`),
      /^250 /,
    );
  });

  await t.test('MAIL parameters are passed on: BODY, SMTPUTF8, SIZE, RET, ENVID, NOTIFY, ORCPT', async () => {
    await session.say(`MAIL FROM:<${ALICE}> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb`);
    await session.say(
      `RCPT TO:<jürgen@bücher.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old+2Bx@elsewhere.test`,
    );
    await session.say('DATA');
    session.write('Subject: grüße\r\n\r\nÄÖÜ\r\n.\r\n');
    assert.match(await session.reply(), /^250 /);
    const commands = last().join('\n');
    assert.match(
      commands,
      /MAIL FROM:<alice@example\.com> SIZE=100 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a\+2Bb/,
    );
    assert.match(
      commands,
      /RCPT TO:<jürgen@bücher\.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old\+2Bx@elsewhere\.test/,
    );
    assert.ok(upstream.messages.at(-1)!.content.toString('utf8').endsWith('Subject: grüße\r\n\r\nÄÖÜ\r\n'));
  });

  await t.test('a parameter that nobody knows is 555, one that is given twice 501', async () => {
    for (const parameter of ['FOO=bar', 'FOO', 'REQUIRETLS', 'HOLDFOR=60', 'BY=120;R', 'NOTIFY=NEVER'])
      assert.match(await session.say(`MAIL FROM:<${ALICE}> ${parameter}`), /^555 5\.5\.4 /, parameter);
    for (const parameters of ['SIZE=1 SIZE=2', 'SMTPUTF8 smtputf8', '=x', 'BODY=BINARYMIME', 'SIZE=x'])
      assert.match(await session.say(`MAIL FROM:<${ALICE}> ${parameters}`), /^501 /, parameters);
    assert.match(await session.say(`MAIL FROM:<${ALICE}> AUTH=<>`), /^250 /, 'RFC 4954 section 5');
    for (const parameter of ['FOO=bar', 'SIZE=1', 'SMTPUTF8'])
      assert.match(await session.say(`RCPT TO:<${TO}> ${parameter}`), /^555 5\.5\.4 /, parameter);
    await session.say('RSET');
  });

  await t.test('quoted local parts are taken and passed on as they are', async () => {
    const quoted = ['"john doe"@x.test', '"a@b"@x.test', '"a..b"@x.test'];
    assert.match(await session.send(`"alice"@example.com`, quoted), /^250 /, 'her own, with needless quotes');
    const { from, to } = upstream.messages.at(-1)!;
    assert.equal(from, 'MAIL FROM:<"alice"@example.com>');
    assert.deepEqual(
      to,
      quoted.map((address) => `RCPT TO:<${address}>`),
    );
    await session.say(`MAIL FROM:<${ALICE}>`);
    for (const address of ['"a\\"b c"@x.test', '"a>b"@x.test'])
      assert.match(
        await session.say(`RCPT TO:<${address}>`),
        /^553 5\.1\.3 /,
        `${address}: valid, and not passed on`,
      );
    for (const address of [
      '"a"b@x.test',
      '"open@x.test',
      'a b@x.test',
      '.a@x.test',
      'a..b@x.test',
      'a@-x.test',
      'a@x..test',
      'a@[999.1]',
      'a@',
      '@x.test',
      'a',
      'a\u202eb@x.test',
      'a,b@x.test',
      `${'x'.repeat(320)}@x.test`,
    ])
      assert.match(await session.say(`RCPT TO:<${address}>`), /^501 5\.1\.3 /, address);
    await session.sayAll(['RSET', `MAIL FROM:<${ALICE}>`]);
    for (const address of ['a@[192.0.2.7]', 'a@[IPv6:2001:db8::7]', "o'neil+{x}@x.test"])
      assert.match(await session.say(`RCPT TO:<${address}>`), /^250 /, address);
    await session.say('RSET');
    assert.match(await session.send(ALICE, ['@r.test,@s.test:routed@x.test']), /^250 /);
    assert.deepEqual(upstream.messages.at(-1)!.to, ['RCPT TO:<routed@x.test>'], 'a route is left out');
  });

  await t.test('an address beyond ASCII needs SMTPUTF8, and is told so', async () => {
    assert.match(
      await session.say('MAIL FROM:<ålice@example.com>'),
      /^553 5\.6\.7 .* needs SMTPUTF8 at MAIL FROM$/,
    );
    await session.say(`MAIL FROM:<${ALICE}>`);
    for (const address of ['jürgen@x.test', 'a@bücher.test'])
      assert.match(await session.say(`RCPT TO:<${address}>`), /^553 5\.6\.7 .* needs SMTPUTF8/, address);
    assert.match(await session.say('RCPT TO:<a@xn--bcher-kva.test>'), /^250 /, 'an A-label is ASCII');
    await session.say('RSET');
  });

  await t.test('the Received line names how the message came', async () => {
    const came = async (parameters: string, dialogue = session): Promise<string> => {
      await dialogue.say(`MAIL FROM:<${ALICE}>${parameters}`);
      await dialogue.say(`RCPT TO:<${TO}>`);
      await dialogue.say('DATA');
      assert.match(await dialogue.say('Subject: x\r\n\r\nx\r\n.'), /^250 /);
      return / with (\w+) id /.exec(upstream.messages.at(-1)!.raw.toString())![1]!;
    };
    assert.equal(await came(''), 'ESMTPA');
    assert.equal(await came(' SMTPUTF8'), 'UTF8SMTPA');
    const secure = await stopgap.hello();
    await secure.startTls();
    await secure.say('EHLO client.test');
    await secure.login(ALICE, PASSWORDS[ALICE]!);
    assert.equal(await came('', secure), 'ESMTPSA');
    assert.equal(await came(' SMTPUTF8', secure), 'UTF8SMTPSA');
    await secure.quit();
    const old = await Dialogue.connect(stopgap.port());
    await old.reply();
    await old.say('HELO client.test');
    await old.login(ALICE, PASSWORDS[ALICE]!);
    assert.equal(await came('', old), 'SMTP');
    await old.quit();
  });

  await t.test('what was said at a MAIL FROM that was refused is forgotten', async () => {
    const params = 'SIZE=77 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=forget-me';
    assert.match(await session.say(`MAIL FROM:<ceo@example.com> ${params}`), /^553 /);
    assert.match(await session.send(ALICE, [TO]), /^250 /);
    assert.equal(upstream.messages.at(-1)!.from, `MAIL FROM:<${ALICE}>`);
  });

  await t.test('the content passes byte for byte after one Received line', async () => {
    const content = 'Subject: dots\r\n\r\n..two\r\n...three\r\nend\r\n';
    assert.match(await session.send(ALICE, [TO], content), /^250 /);
    const { raw } = upstream.messages.at(-1)!;
    const text = raw.toString();
    assert.ok(text.endsWith(content));
    const received = text.slice(0, -content.length);
    assert.match(
      received,
      /^Received: from client\.test \(\[127\.0\.0\.1\]\)\r\n\tby mx\.example\.com with ESMTPA id [\w.]+;\r\n\t\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n$/,
    );
    const event = (await stopgap.all<MessageAccepted>('MessageAccepted')).at(-1)!;
    assert.ok(
      received.includes(` id ${event.data.transaction};`),
      'the id of the event stands in the message',
    );
    assert.equal(event.correlation, event.data.transaction);
    assert.ok(!received.includes(ALICE), 'whose account it was is nobody else’s business');
  });

  await t.test('only a real end ends a message: nothing is smuggled', async () => {
    const before = upstream.messages.length;
    const inner = `MAIL FROM:<ceo@example.com>\r\nRCPT TO:<victim@x.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx`;
    for (const end of ['\n.\n', '\n.\r\n', '\r\n.\n', '\r.\r', '\r\n.\r', '\n.\r']) {
      const content = `Subject: outer\r\n\r\nx${end}${inner}\r\n`;
      assert.match(await session.send(ALICE, [TO], content), /^250 /, JSON.stringify(end));
      assert.equal(await session.say('NOOP'), '250 OK', JSON.stringify(end));
    }
    assert.equal(upstream.messages.length, before + 6);
    for (const { to, raw } of upstream.messages.slice(before)) {
      assert.deepEqual(to, [`RCPT TO:<${TO}>`]);
      const text = raw.toString('latin1');
      assert.ok(text.includes('smuggled'), 'it is content');
      assert.doesNotMatch(text, /(^|[^\r])\n|\r[^\n]/, 'and with line ends that no server takes for others');
      assert.doesNotMatch(text, /\r\n\.\r\n/);
    }
  });

  await t.test('pipelining: a whole message in one write', async () => {
    session.write(
      [`MAIL FROM:<${ALICE}>`, 'RCPT TO:<p1@x.test>', 'RCPT TO:<p2@x.test>', 'DATA', ''].join('\r\n'),
    );
    assert.deepEqual(
      (await session.replies(4)).map((reply) => reply.slice(0, 3)),
      ['250', '250', '250', '354'],
    );
    session.write(`Subject: x\r\n\r\nx\r\n.\r\nMAIL FROM:<${ALICE}>\r\nRSET\r\nNOOP\r\n`);
    assert.deepEqual(
      (await session.replies(4)).map((reply) => reply.slice(0, 3)),
      ['250', '250', '250', '250'],
    );
    assert.deepEqual(upstream.messages.at(-1)!.to.length, 2);
  });

  await t.test('a mail loop ends', async () => {
    const hop = 'Received: from a by b; Mon, 2 Mar 2026 09:00:00 +0000\r\n';
    const before = upstream.messages.length;
    assert.match(await session.send(ALICE, [TO], `${hop.repeat(101)}\r\nx\r\n`), /^554 5\.4\.6 /);
    assert.equal(upstream.messages.length, before);
    assert.match(await session.send(ALICE, [TO], `${hop.repeat(100)}\r\nx\r\n`), /^250 /);
  });

  await t.test('RSET forgets recipients; DATA without one is refused', async () => {
    await session.sayAll([`MAIL FROM:<${ALICE}>`, 'RCPT TO:<forgotten@x.test>', 'RSET']);
    assert.match(await session.say('DATA'), /^503 /);
    assert.match(await session.send(ALICE, ['kept@x.test']), /^250 /);
    assert.deepEqual(upstream.messages.at(-1)!.to, ['RCPT TO:<kept@x.test>']);
  });

  await t.test('two messages in one session are two sends', async () => {
    const before = (await stopgap.all<MessageAccepted>('MessageAccepted')).length;
    for (let i = 0; i < 2; i++) assert.match(await session.send(ALICE, [TO]), /^250 /);
    const sends = (await stopgap.all<MessageAccepted>('MessageAccepted')).slice(before);
    assert.equal(new Set(sends.map(({ data }) => data.transaction)).size, 2);
  });
  await session.quit();
});

test('what is not offered, and what is no SMTP', async (t) => {
  const stopgap = await Stopgap.start(t, { smtp: { maxConnections: 30 } });

  await t.test('the library’s jokes and the commands of proxies', async () => {
    const session = await stopgap.hello();
    for (const line of ['WIZ secret', 'SHELL', 'KILL', 'LHLO x'])
      assert.match(await session.say(line), /^500 /, line);
    assert.match(await session.say('XCLIENT ADDR=192.0.2.1'), /^550 /);
    assert.match(await session.say('XFORWARD ADDR=192.0.2.1'), /^550 /);
    for (const method of ['CRAM-MD5', 'XOAUTH2', 'GSSAPI', '']) {
      assert.match(await session.say(`AUTH ${method}`), /^504 /, method);
    }
    await session.quit();
  });

  await t.test('no mail without a login', async () => {
    const session = await stopgap.hello();
    for (const line of [`MAIL FROM:<${ALICE}>`, `RCPT TO:<${TO}>`, 'DATA'])
      assert.match(await session.say(line), /^530 /);
    await session.quit();
  });

  await t.test(
    'an HTTP request, a flood of nonsense, a line without end, a login that breaks off',
    async () => {
      for (const [name, bytes, answer] of [
        ['HTTP', 'POST / HTTP/1.1\r\nHost: x\r\n\r\n', /^421 /],
        ['nonsense', 'ZZZ\r\n'.repeat(50), /^500 /],
        ['a long line', 'x'.repeat(100_000), /^421 /],
        ['NUL bytes', '\0\0\0\r\n'.repeat(20), /^500 /],
        ['half a login', 'AUTH PLAIN\r\n*\r\n', /^334/],
        ['a broken login', 'AUTH PLAIN !!!!\r\n', /^501 /],
        ['control characters', 'EHLO a\u0007b\r\n', /^501 /],
        ['a name that hides what it is', 'EHLO mail\u202eexample.test\r\n', /^501 /],
        ['a name with nothing to be seen in it', 'EHLO mail\u200b.test\r\n', /^501 /],
        ['a name without end', `EHLO ${'x'.repeat(256)}\r\n`, /^501 /],
        ['the same by HELO', `HELO mail\u202eexample.test\r\n`, /^501 /],
        ['an address with a line end in xtext', 'MAIL FROM:<a@b.test> ENVID=a+0D+0AQUIT\r\n', /^5/],
      ] as const) {
        const session = await stopgap.hello();
        session.write(bytes);
        assert.match(await session.reply(), answer, name);
        session.vanish();
        await session.closed;
      }
      const talker = stopgap.hello();
      await (await talker).quit();
    },
  );

  await t.test('a client that talks before the greeting is sent away', async () => {
    const early = await Dialogue.connect(stopgap.port());
    assert.match(await early.say('EHLO early.test'), /^421 /);
    await early.closed;
  });

  await t.test('more connections than there may be', async () => {
    const crowd = await Promise.all(Array.from({ length: 40 }, () => Dialogue.connect(stopgap.port())));
    const greetings = await Promise.all(crowd.map((session) => session.reply()));
    const turnedAway = greetings.filter((greeting) => greeting.startsWith('421 '));
    assert.equal(turnedAway.length, 10);
    await Promise.all(
      crowd.map((session, index) => (greetings[index]!.startsWith('220') ? session.quit() : session.closed)),
    );
  });

  await t.test('and it still works', async () => {
    const session = await stopgap.loggedIn();
    assert.match(await session.send(ALICE, [TO]), /^250 /);
    await session.quit();
    assert.equal((await stopgap.all('MessageAccepted')).length, 1);
    assert.deepEqual(stopgap.faults, []);
  });
});
