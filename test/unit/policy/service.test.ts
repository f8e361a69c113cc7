import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseSubject } from '../../../src/sending/subjects.js';
import { DAY, SECOND } from '../../../src/kernel/time.js';
import { queuedMessageId } from '../../../src/runtime/ids.js';
import { NOON } from '../../support/manual-clock.js';
import { END, Scene, SOFT } from '../../support/policy/scene.js';

describe('the policy service', () => {
  test('lets a sender go on whom no block covers, and records nothing before the end of the message', () => {
    const scene = new Scene();
    assert.equal(scene.ask(), 'DUNNO');
    assert.equal(scene.ask({ protocol_state: 'DATA' }), 'DUNNO');
    assert.deepEqual([scene.sent, scene.refused], [[], []]);
    assert.deepEqual(scene.counted, ['rcpt dunno', 'data dunno']);
  });

  test('takes senders and recipients for what Postfix makes of them', () => {
    const scene = new Scene({ block: parseSubject('domain', 'blocked.test') });
    assert.equal(scene.ask({ sender: 'u%blocked.test' }), SOFT);
    const long = `${'u'.repeat(1100)}@blocked.test`;
    assert.equal(scene.ask({ sender: long }), SOFT);
    assert.equal(scene.ask({ sender: `@${long.slice(0, 1100)}:u%blocked.test` }), SOFT);
    const free = { sender: 'other.test!eve', instance: '1.2.4.0' };
    assert.equal(scene.ask({ ...free, recipient: 'a%d0.test' }), 'DUNNO');
    assert.equal(scene.ask({ ...free, recipient: '@x.test:d1.test!a' }), 'DUNNO');
    assert.equal(scene.ask({ ...END, ...free }), 'DUNNO');
    const [{ data }] = scene.sent as [(typeof scene.sent)[number]];
    assert.deepEqual([data.returnPath, data.recipientDomains], ['eve@other.test', ['d0.test', 'd1.test']]);
  });

  test('records that a client which is logged in said no name, so that this is new to its account', () => {
    const scene = new Scene();
    scene.ask({ ...END, helo_name: '' });
    scene.ask({ ...END, helo_name: '', sasl_username: '', queue_id: '4ABD', instance: '1.2.4.0' });
    assert.deepEqual(
      scene.sent.map(({ data }) => data.ehlo),
      ['.', undefined],
    );
  });

  for (const [what, subject, attributes] of [
    ['account', ['account', 'alice@example.com'], { sasl_username: 'Alice@Example.COM' }],
    ['return path', ['address', 'bob@example.com'], { sender: 'Bob+tag@example.com' }],
    ['domain', ['domain', 'example.com'], {}],
    ['EHLO name', ['ehlo', 'pc.example.com'], { helo_name: 'PC.example.com' }],
    ['address', ['ip', '192.0.2.0/24'], {}],
    ['mapped IPv4 address', ['ip', '192.0.2.7'], { client_address: '::ffff:192.0.2.7' }],
  ] as const)
    test(`refuses by ${what} at RCPT and DATA as the SMTP side does`, () => {
      const scene = new Scene({ block: parseSubject(subject[0], subject[1]) });
      for (const protocol_state of ['RCPT', 'DATA'])
        assert.equal(scene.ask({ ...attributes, protocol_state }), SOFT);
      assert.deepEqual(
        scene.refused.map(({ stage, block, reply, direction }) => ({ stage, block, reply, direction })),
        ['rcpt', 'data'].map((stage) => ({ stage, block: 'b1', reply: SOFT, direction: 'outbound' })),
      );
      assert.equal(scene.refused[0]!.country, 'DE');
      assert.deepEqual(scene.counted.slice(0, 2), ['refused rcpt soft', 'rcpt refused']);
    });

  test('answers with the code that is configured, and an honest block in its own words', () => {
    assert.equal(new Scene({ block: {}, refuse: '450' }).ask(), SOFT.replace('451', '450'));
    assert.equal(new Scene({ block: {}, refuse: 'hold' }).ask(), 'HOLD');
    for (const refuse of ['451', '450', 'hold'] as const)
      assert.match(
        new Scene({ block: { refusal: 'honest' }, refuse }).ask(),
        /^550 5\.7\.1 .*contact postmaster@example\.com$/,
      );
  });

  test('holds for a block that holds, and records the message once, at its end, by its queue id', () => {
    const scene = new Scene({ block: { refusal: 'hold' } });
    const instance = '1.2.3.0';
    assert.equal(scene.ask({ instance }), 'HOLD');
    assert.equal(scene.ask({ instance, recipient: 'two@elsewhere.test', queue_id: '4ABC' }), 'HOLD');
    assert.equal(scene.held.length, 0, 'it may still be given up');
    assert.equal(scene.ask({ ...END, instance }), 'DUNNO');
    assert.equal(scene.ask({ ...END, instance }), 'DUNNO');
    assert.equal(scene.held.length, 1);
    const { block, account, transaction, recipients, size, country } = scene.held[0]!.data;
    assert.deepEqual(
      { block, account, transaction, recipients, size, country },
      {
        block: 'b1',
        account: 'alice@example.com',
        transaction: '4ABC',
        recipients: 2,
        size: 4711,
        country: 'DE',
      },
    );
    assert.equal(scene.refused.length, 1);
    assert.deepEqual(scene.sent, []);
    assert.ok(scene.counted.includes('refused rcpt hold'));
  });

  for (const [what, setup, refusal] of [
    ['a rule that holds', {}, 'hold'],
    ['where all mail of blocked senders is to be held', { refuse: 'hold' }, 'soft'],
  ] as const)
    test(`holds nothing for a block that is not recorded, since it would be listed nowhere: ${what}`, () => {
      const scene = new Scene(setup);
      const subject = parseSubject('account', 'alice@example.com');
      const block = { id: 'n1', ...subject, direction: 'all', until: null, refusal, byRule: true } as const;
      scene.blocks.anticipate(subject, block);
      const instance = '1.2.3.0';
      assert.equal(scene.ask({ instance }), SOFT);
      assert.equal(scene.ask({ ...END, instance }), SOFT);
      assert.deepEqual([scene.held, scene.sent], [[], []]);
      assert.deepEqual(
        scene.refused.map(({ block: id, reply, unheld }) => [id, reply, unheld]),
        [
          ['n1', SOFT, undefined],
          ['n1', SOFT, undefined],
        ],
      );
      assert.equal(scene.service.asked.unheld, 0, 'the mail server could have held it');
      scene.blocks.withdraw(subject);
      scene.block({ refusal: 'hold' });
      assert.equal(scene.ask(), 'HOLD');
    });

  test('has the mail of a block that holds a thousand messages come again', () => {
    const scene = new Scene({ block: { refusal: 'hold' } });
    for (let message = 0; message < 999; message++) scene.hold(`1.2.${message}.0`);
    const [last, beyond] = ['1.3.1.0', '1.3.2.0'];
    assert.equal(scene.ask({ instance: last }), 'HOLD');
    assert.equal(scene.ask({ instance: beyond }), 'HOLD', 'nobody knows yet which one comes to its end');
    assert.equal(scene.ask({ ...END, instance: last }), 'DUNNO');
    scene.refused.length = 0;
    for (let times = 0; times < 2; times++)
      assert.equal(scene.ask({ ...END, instance: beyond }), SOFT, 'it leaves the hold again');
    const next = '1.3.3.0';
    assert.equal(scene.ask({ instance: next }), SOFT);
    assert.equal(scene.ask({ protocol_state: 'DATA', instance: next }), SOFT);
    assert.deepEqual(
      scene.refused.map(({ stage, reply, unheld, full }) => [stage, reply, unheld, full]),
      [
        ['data', SOFT, true, true],
        ['rcpt', SOFT, true, true],
      ],
      'each message once',
    );
    assert.deepEqual([scene.held.length, scene.sent.length], [1000, 0]);
    assert.deepEqual([scene.service.asked.unheld, scene.service.asked.full], [0, 2]);
    assert.deepEqual(scene.full, [{ block: 'b1', messages: 1000 }], 'it is told once');
  });

  test('has the mail of a block that holds a gibibyte come again, and holds that of others', () => {
    const scene = new Scene({ block: { refusal: 'hold' } });
    const bob = parseSubject('account', 'bob@example.com');
    scene.block({ ...bob, id: 'b2', refusal: 'hold' });
    scene.hold('1.2.1.0', { size: String(2 ** 30 - 1) });
    scene.hold('1.2.2.0', { size: '1' });
    assert.equal(scene.ask(), SOFT);
    assert.equal(scene.ask({ sasl_username: 'bob@example.com' }), 'HOLD');
  });

  for (const [what, setup, told] of [
    ['a block that holds', { block: { refusal: 'hold' } }, SOFT],
    ['where all mail of blocked senders is to be held', { block: {}, refuse: 'hold' }, SOFT],
    [
      'with the code that is configured',
      { block: { refusal: 'hold' }, refuse: '450' },
      SOFT.replace('451', '450'),
    ],
  ] as const)
    test(`refuses what a filter before the queue gets, since nobody can hold it: ${what}`, () => {
      const scene = new Scene(setup);
      const instance = '1.2.3.0';
      assert.equal(scene.ask({ instance }), 'HOLD', 'no recipient has been taken on yet: nobody knows');
      for (let times = 0; times < 2; times++)
        assert.equal(scene.ask({ ...END, instance, queue_id: '' }), told);
      assert.equal(scene.ask({ protocol_state: 'DATA', instance: '1.2.3.1' }), told);
      assert.equal(scene.ask({ ...END, instance: '1.2.3.1', queue_id: '' }), told);
      assert.deepEqual([scene.held, scene.sent], [[], []]);
      assert.deepEqual(
        scene.refused.map(({ stage, reply, unheld }) => [stage, reply, unheld]),
        [
          ['rcpt', 'HOLD', undefined],
          ['data', told, true],
          ['data', told, true],
        ],
        'each message once',
      );
      assert.ok(scene.counted.includes('end_of_message refused'));
      assert.equal(scene.service.asked.unheld, 2);
    });

  test('counts what a filter before the queue gets as sent where the block has gone meanwhile: nobody holds it', () => {
    const scene = new Scene({ block: { refusal: 'hold', until: NOON + SECOND } });
    const instance = '1.2.3.0';
    assert.equal(scene.ask({ instance }), 'HOLD');
    scene.clock.advance(SECOND);
    assert.equal(scene.ask({ ...END, instance, queue_id: '' }), 'DUNNO');
    assert.deepEqual([scene.held.length, scene.sent.length], [0, 1]);
    assert.equal(scene.service.asked.unheld, 0);
  });

  for (const [refuse, told] of [
    ['451', SOFT],
    ['450', SOFT.replace('451', '450')],
    ['hold', SOFT],
  ] as const)
    test(`has a message come again that was to be held for a block which ended before it did, where blocked mail gets ${refuse}`, () => {
      const scene = new Scene({ block: { refusal: 'hold', until: NOON + SECOND }, refuse });
      const instance = '1.2.3.0';
      assert.equal(scene.ask({ instance }), 'HOLD');
      scene.clock.advance(SECOND);
      for (let times = 0; times < 2; times++) assert.equal(scene.ask({ ...END, instance }), told);
      assert.deepEqual([scene.held, scene.sent], [[], []]);
      assert.deepEqual(scene.putOff, [{ account: 'alice@example.com', recipients: 2, block: 'b1' }]);
      assert.ok(scene.counted.includes('end_of_message put_off'));
      assert.equal(scene.ask({ ...END, instance: '1.2.3.1' }), 'DUNNO');
      assert.equal(scene.sent.length, 1, 'it counts when it comes again');
    });

  test('judges a message anew whose block has ended, by the block that refuses its sender now', () => {
    for (const [refusal, told, held] of [
      ['soft', SOFT, []],
      ['hold', 'HOLD', ['b2']],
    ] as const) {
      const scene = new Scene({ block: { refusal: 'hold', until: NOON + SECOND } });
      const instance = '1.2.3.0';
      assert.equal(scene.ask({ instance }), 'HOLD');
      scene.clock.advance(SECOND);
      scene.block({ id: 'b2', refusal });
      assert.equal(scene.ask({ ...END, instance }), told);
      assert.deepEqual(
        scene.held.map(({ data }) => data.block),
        held,
      );
      assert.deepEqual(
        scene.refused.map(({ block, reply }) => [block, reply]),
        [
          ['b1', 'HOLD'],
          ['b2', told],
        ],
      );
      assert.deepEqual([scene.sent, scene.putOff], [[], []]);
    }
  });

  test('holds a message for the block that was told as long as that is in force, though another one ends later', () => {
    const scene = new Scene({ block: { refusal: 'hold', until: NOON + SECOND } });
    const instance = '1.2.3.0';
    assert.equal(scene.ask({ instance }), 'HOLD');
    scene.block({ id: 'b2', ...parseSubject('ip', '192.0.2.7') });
    assert.equal(scene.ask({ ...END, instance }), 'DUNNO');
    assert.deepEqual(
      scene.held.map(({ data }) => data.block),
      ['b1'],
    );
  });

  test('refuses from the first recipient on what a mail server says that it cannot hold, and blames no filter for it', () => {
    const scene = new Scene({ block: { refusal: 'hold' } });
    const cannot = {
      instance: '1.2.3.0',
      sender: '',
      queue_id: '1tABCD-000000001xY-0000',
      stopgap_hold: 'no',
    };
    assert.equal(scene.ask(cannot), SOFT);
    assert.equal(scene.ask({ ...END, ...cannot }), SOFT);
    assert.equal(scene.ask({ ...cannot, instance: '1.2.3.1', stopgap_hold: 'yes' }), 'HOLD');
    assert.deepEqual(scene.held, []);
    assert.equal(scene.service.asked.unheld, 0);
  });

  test('holds at the end of the message where the block came meanwhile, and where nothing else is asked', () => {
    const scene = new Scene();
    const instance = '1.2.3.0';
    assert.equal(scene.ask({ instance }), 'DUNNO');
    scene.block({ refusal: 'hold' });
    assert.equal(scene.ask({ ...END, instance }), 'HOLD');
    assert.equal(scene.ask({ ...END, instance }), 'HOLD', 'the same again');
    assert.deepEqual(
      scene.held.map(({ data }) => data.transaction),
      ['4ABC'],
    );
    assert.deepEqual(scene.sent, []);
  });

  for (const [what, fail] of [
    ['while the store is away', (scene: Scene) => (scene.isHealthy = false)],
    ['while too many records wait', (scene: Scene) => (scene.isBehind = true)],
  ] as const)
    test(`holds nothing ${what}, since it would be listed nowhere`, () => {
      const scene = new Scene({ block: { refusal: 'hold' } });
      const instance = '1.2.3.0';
      assert.equal(scene.ask({ instance }), 'HOLD');
      fail(scene);
      assert.equal(scene.ask({ ...END, instance }), SOFT, 'it leaves the hold again');
      assert.equal(scene.ask({ instance: '1.2.4.0' }), SOFT);
      assert.equal(scene.ask({ ...END, instance: '1.2.5.0' }), SOFT);
      assert.deepEqual([scene.held, scene.sent], [[], []]);
      assert.equal(scene.service.asked.unheld, 0, 'the mail server could have held it');
      scene.isHealthy = true;
      scene.isBehind = false;
      scene.hold('1.2.6.0');
      assert.equal(scene.held.length, 1);
    });

  test('says so where a held message cannot be recorded', () => {
    const full = new Scene({ block: { refusal: 'hold' }, isFull: true });
    assert.equal(full.ask(END), 'HOLD');
    assert.ok(full.counted.includes('lost full'));
    const away = new Scene({ block: { refusal: 'hold' } });
    assert.equal(away.ask(END), 'HOLD');
    away.settle(new Error('the disk is full'));
    assert.ok(away.counted.includes('lost store'));
    assert.deepEqual(away.faults, ['the disk is full']);
  });

  test('takes mail with a login, or of an own network, for outbound, and all other for inbound', () => {
    const block = { direction: 'outbound', ...parseSubject('ip', '192.0.2.7') } as const;
    assert.equal(new Scene({ block }).ask(), SOFT);
    assert.equal(new Scene({ block }).ask({ sasl_username: '' }), 'DUNNO');
    assert.equal(new Scene({ block, ownNetworks: ['192.0.2.0/24'] }).ask({ sasl_username: '' }), SOFT);
  });

  test('records a message once at its end, with the domains of its recipients', () => {
    const scene = new Scene();
    const instance = '1.2.3.4';
    for (const recipient of ['a@One.test', 'b@two.test', 'c@one.test', 'no-domain']) {
      assert.equal(scene.ask({ instance, recipient }), 'DUNNO');
    }
    for (let times = 0; times < 3; times++) assert.equal(scene.ask({ ...END, instance }), 'DUNNO');
    assert.equal(scene.sent.length, 1);
    const { key, data } = scene.sent[0]!;
    assert.equal(key, 'alice@example.com');
    assert.deepEqual(data, {
      direction: 'outbound',
      account: 'alice@example.com',
      returnPath: 'alice@example.com',
      ehlo: 'pc.example.com',
      ip: '192.0.2.7',
      country: 'DE',
      transaction: '4ABC',
      recipients: 2,
      size: 4711,
      recipientDomains: ['one.test', 'two.test'],
      entitled: true,
    });
    scene.settle();
    assert.ok(scene.counted.includes('accepted outbound 2'));
  });

  test('gives one message one event id, whichever process is asked, and two messages two', () => {
    const end = { ...END, queue_id: '' };
    const ids = [new Scene(), new Scene()].map((scene) => {
      scene.ask({ ...end, instance: '1.2.3.4' });
      scene.ask({ ...end, instance: '1.2.3.5' });
      scene.ask({ ...end, instance: '1.2.3.4', server_address: '198.51.100.2' });
      return scene.sent.map(({ id }) => id);
    });
    assert.deepEqual(ids[0], ids[1]);
    assert.equal(new Set(ids[0]).size, 3);
  });

  test('knows a message that has a queue id by it, on that day, as all do who tell of it', () => {
    const scene = new Scene();
    scene.ask({ ...END, instance: '1.2.3.4' });
    scene.ask({ ...END, instance: '1.2.3.5', queue_id: '4ABD' });
    scene.ask({ ...END, instance: '1.2.3.6', sasl_username: 'bob@example.com' });
    scene.clock.advance(DAY);
    scene.ask({ ...END, instance: '1.2.3.7' });
    assert.deepEqual(
      scene.sent.map(({ id }) => id),
      [
        queuedMessageId('alice@example.com', '4ABC', NOON),
        queuedMessageId('alice@example.com', '4ABD', NOON),
        queuedMessageId('bob@example.com', '4ABC', NOON),
        queuedMessageId('alice@example.com', '4ABC', NOON + DAY),
      ],
    );
    assert.equal(new Set(scene.sent.map(({ id }) => id)).size, 4);
  });

  test('asked at the end alone counts the recipients that it is told of, and at least one', () => {
    const scene = new Scene();
    scene.ask({ ...END, recipient: 'a@one.test', recipient_count: '1' });
    scene.ask({ ...END, recipient_count: '0' });
    assert.deepEqual(
      scene.sent.map(({ data }) => [data.recipients, data.recipientDomains]),
      [
        [1, ['one.test']],
        [1, []],
      ],
    );
  });

  test('refuses at the end a message whose sender was blocked meanwhile, and records no send', () => {
    const scene = new Scene();
    const instance = '1.2.3.4';
    assert.equal(scene.ask({ instance }), 'DUNNO');
    scene.block({});
    for (let times = 0; times < 2; times++) assert.equal(scene.ask({ ...END, instance }), SOFT);
    assert.deepEqual(scene.sent, []);
    assert.equal(scene.refused.length, 1, 'the second answer is the first, told again');
  });

  test('a message that was let through is let through again, though its sender was blocked by it', () => {
    const scene = new Scene();
    assert.equal(scene.ask({ ...END, instance: '1.2.3.4' }), 'DUNNO');
    scene.block({});
    assert.equal(scene.ask({ ...END, instance: '1.2.3.4' }), 'DUNNO');
    assert.equal(scene.ask({ ...END, instance: '1.2.3.5' }), SOFT);
  });

  test('a held message is one refusal and no send', () => {
    const scene = new Scene({ block: {}, refuse: 'hold' });
    const instance = '1.2.3.4';
    assert.deepEqual(
      [scene.ask({ instance }), scene.ask({ instance }), scene.ask({ ...END, instance })],
      ['HOLD', 'HOLD', 'DUNNO'],
    );
    assert.deepEqual([scene.sent.length, scene.refused.map(({ reply }) => reply)], [0, ['HOLD']]);
    assert.deepEqual(
      scene.counted.filter((each) => !each.startsWith('refused')),
      ['rcpt held', 'rcpt held', 'end_of_message dunno'],
    );
  });

  test('remembers only so many domains of a message, and no endless one', () => {
    const scene = new Scene();
    const instance = '1.2.3.4';
    scene.ask({ instance, recipient: `a@${'x'.repeat(400)}.test` });
    for (let index = 0; index < 50; index++) scene.ask({ instance, recipient: `a@d${index}.test` });
    scene.ask({ ...END, instance });
    const { recipientDomains } = scene.sent[0]!.data;
    assert.equal(recipientDomains.length, 20);
    assert.equal(recipientDomains[0], 'd0.test');
  });

  test('judges nobody as long as it does not know who is blocked, and records what is sent', () => {
    const scene = new Scene({ block: {}, knows: false });
    assert.equal(scene.ask(), 'DUNNO');
    assert.equal(scene.ask(END), 'DUNNO');
    assert.equal(scene.sent.length, 1);
  });

  test('lets everything else go on and looks at nothing of it', () => {
    const scene = new Scene({ block: {} });
    for (const protocol_state of ['CONNECT', 'EHLO', 'MAIL', 'VRFY', 'constructor', ''])
      assert.equal(scene.ask({ protocol_state }), 'DUNNO', protocol_state);
    assert.equal(scene.ask({ request: 'junk' }), 'DUNNO');
    assert.deepEqual(scene.service.asked, {
      rcpt: 0,
      data: 0,
      endOfMessage: 0,
      withLogin: 0,
      unheld: 0,
      full: 0,
    });
  });

  test('counts a send that could not be recorded, and answers as ever', () => {
    const full = new Scene({ isFull: true });
    assert.equal(full.ask(END), 'DUNNO');
    assert.ok(full.counted.includes('lost full'));
    const away = new Scene();
    assert.equal(away.ask(END), 'DUNNO');
    away.settle(new Error('the disk is full'));
    assert.ok(away.counted.includes('lost store'));
    assert.deepEqual(away.faults, ['the disk is full']);
    assert.ok(!away.counted.some((each) => each.startsWith('accepted')));
  });

  test('lets mail go on where it fails itself', () => {
    const scene = new Scene({ block: {} });
    scene.blocks.find = () => {
      throw new Error('a fault of ours');
    };
    assert.equal(scene.ask(), 'DUNNO');
    assert.deepEqual(scene.faults, ['a fault of ours']);
  });

  test('knows what it was asked and how often a login was named', () => {
    const scene = new Scene();
    scene.ask();
    scene.ask({ protocol_state: 'DATA', sasl_username: '' });
    scene.ask(END);
    assert.deepEqual(scene.service.asked, {
      rcpt: 1,
      data: 1,
      endOfMessage: 1,
      withLogin: 2,
      unheld: 0,
      full: 0,
    });
  });

  test('takes names of any kind without a fault', () => {
    const scene = new Scene();
    const names = ['', '@', 'a'.repeat(8000), '\u0130@x', '"a b"@c', '%', '*@*', '\ud83d\ude00@\ud83d\ude00'];
    for (const name of names)
      for (const field of ['sasl_username', 'sender', 'helo_name', 'client_address', 'recipient', 'instance'])
        assert.equal(scene.ask({ ...END, [field]: name }), 'DUNNO');
    assert.deepEqual(scene.faults, []);
    for (const { data, key } of scene.sent) assert.ok(JSON.stringify([data, key]).length < 8000);
  });
});
