import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { describe, test } from 'node:test';
import { Metrics } from '../../../src/metrics/metrics.js';
import { ReplyError } from '../../../src/smtp/replies.js';
import { Figures } from '../../support/metrics.js';

async function figuresOf(metrics: Metrics): Promise<Figures> {
  return new Figures(await metrics.registry.metrics());
}

/** A connection as the listener gets it: IPv4 in IPv6 form on a dual-stack socket. */
function connection(remotePort: number, remoteAddress = '::ffff:192.0.2.7'): Socket & EventEmitter {
  return Object.assign(new EventEmitter(), { remotePort, remoteAddress }) as unknown as Socket & EventEmitter;
}

describe('a listener', () => {
  test('counts answers by what they mean to the client, and hands them on', async () => {
    const metrics = new Metrics();
    const door = metrics.smtp.door('outbound');
    const answers = [
      null,
      undefined,
      new ReplyError({ code: 451, text: 'later' }),
      new ReplyError({ code: 550, text: 'no' }),
      new ReplyError({ code: 451, text: 'a fault of ours' }, true),
      new TypeError('what nobody foresaw'),
    ];
    const handed: unknown[] = [];
    for (const answer of answers)
      door.measured('rcpt', (error?: Error | null, result?: string) => handed.push([error, result]))(
        answer,
        'x',
      );
    assert.deepEqual(
      handed,
      answers.map((answer) => [answer, 'x']),
    );
    const figures = await figuresOf(metrics);
    assert.deepEqual(figures.nonzero('stopgap_smtp_commands_total'), {
      'outbound rcpt accepted': 2,
      'outbound rcpt deferred': 1,
      'outbound rcpt refused': 1,
      'outbound rcpt failed': 2,
    });
    const rcpt = { direction: 'outbound', stage: 'rcpt' };
    assert.equal(figures.of('stopgap_smtp_command_seconds_count', rcpt), 6);
  });

  test('counts a connection once: greeted, sent away, or gone before', async () => {
    const metrics = new Metrics();
    const door = metrics.smtp.door('inbound');
    const [greeted, gone] = [connection(1), connection(2)];
    for (const socket of [greeted, gone]) door.arrived(socket);
    door.turnedAway('network');
    door.greeted({ remoteAddress: '192.0.2.7', remotePort: 1 });
    gone.emit('close');
    greeted.emit('close');
    door.turnedAway('command');
    const figures = await figuresOf(metrics);
    assert.deepEqual(figures.nonzero('stopgap_smtp_commands_total'), {
      'inbound connect accepted': 1,
      'inbound connect gone': 1,
      'inbound connect deferred': 1,
    });
    assert.deepEqual(figures.nonzero('stopgap_smtp_turned_away_total'), {
      'inbound network': 1,
      'inbound command': 1,
    });
    const connect = { direction: 'inbound', stage: 'connect' };
    assert.equal(figures.of('stopgap_smtp_command_seconds_count', connect), 1);
    assert.equal(figures.of('stopgap_smtp_sessions', { direction: 'inbound' }), 1);
  });

  test('knows a greeted client again however its address is written', async () => {
    const metrics = new Metrics();
    const door = metrics.smtp.door('inbound');
    const written = [
      ['::ffff:192.0.2.7', '192.0.2.7'],
      ['2001:DB8::7', '2001:db8::7'],
      ['fe80::1%eth0', 'fe80::1'],
    ] as const;
    for (const [port, [atSocket, inSession]] of written.entries()) {
      const socket = connection(port, atSocket);
      door.arrived(socket);
      door.greeted({ remoteAddress: inSession, remotePort: port });
      socket.emit('close');
    }
    const counts = (await figuresOf(metrics)).nonzero('stopgap_smtp_commands_total');
    assert.deepEqual(counts, { 'inbound connect accepted': 3 });
  });
});

test('what is not to be measured is not touched', async () => {
  const metrics = new Metrics({ measuresMessages: false });
  const door = metrics.smtp.door('outbound');
  const done = (): void => undefined;
  assert.equal(door.measured('data', done), done);
  door.arrived(connection(1));
  door.turnedAway('full');
  door.greeted({});
  metrics.smtp.accepted('outbound', 3);
  metrics.smtp.refused('rcpt', 'soft');
  metrics.smtp.handingOver()();
  const figures = await figuresOf(metrics);
  for (const name of ['stopgap_smtp_commands_total', 'stopgap_sends_total', 'stopgap_refusals_total'])
    assert.deepEqual(figures.nonzero(name), {}, name);
});
