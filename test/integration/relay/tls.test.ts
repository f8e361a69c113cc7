import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import type { Relay } from '../../../src/smtp/relay/port.js';
import { RelayUnreachable } from '../../../src/smtp/relay/port.js';
import type { Peer } from '../../support/relay/fake-upstream.js';
import {
  bodyOf,
  ENVELOPE,
  MESSAGE,
  pair,
  relayTo,
  selfSigned,
  temporaryDir,
  yes,
} from '../../support/relay/helpers.js';

async function send(relay: Relay): Promise<number> {
  const transaction = relay.begin(ENVELOPE);
  await transaction.offer({ address: 'one@example.net' });
  return (await transaction.transmit(await bodyOf(MESSAGE), yes)).reply.code;
}

async function caFile(t: TestContext): Promise<string> {
  const file = join(await temporaryDir(t), 'ca.pem');
  await writeFile(file, (await selfSigned()).cert);
  return file;
}

describe('relay TLS', () => {
  it('goes over STARTTLS if it is offered, for any certificate, and asks again what is offered', async (t) => {
    const { upstream, relay } = await pair(t, { tls: await selfSigned() });
    assert.equal(await send(relay), 250);
    assert.equal(upstream.messages[0]!.peer.secure, true);
    assert.deepEqual(upstream.commands.slice(0, 3), ['EHLO relay.test', 'STARTTLS', 'EHLO relay.test']);
  });

  it('goes in clear text if it is not offered, or is off', async (t) => {
    const without = await pair(t);
    assert.equal(await send(without.relay), 250);
    assert.equal(without.upstream.messages[0]!.peer.secure, false);
    const off = await pair(t, { tls: await selfSigned() }, {}, '?tls=off');
    assert.equal(await send(off.relay), 250);
    assert.equal(off.upstream.messages[0]!.peer.secure, false);
  });

  for (const broken of ['454 4.7.0 not available', '220 but no TLS comes']) {
    it(`falls back to clear text, and only if it may, where STARTTLS gives "${broken}"`, async (t) => {
      // Says 220 and hangs up on the first byte of the handshake.
      const script = {
        STARTTLS(_line: string, peer: Peer) {
          peer.say(broken);
          if (broken.startsWith('220')) peer.socket.once('data', () => peer.kill());
          return '';
        },
      };
      const may = await pair(t, { tls: await selfSigned(), script });
      assert.equal(await send(may.relay), 250);
      assert.equal(may.upstream.messages[0]!.peer.secure, false);
      assert.equal(may.upstream.peers.length, 2);

      const must = await pair(t, { tls: await selfSigned(), script }, {}, '?tls=require');
      await assert.rejects(send(must.relay), RelayUnreachable);
      assert.equal(must.upstream.messages.length, 0);
    });
  }

  it('refuses bytes that follow the reply to STARTTLS in clear text', async (t) => {
    const script = { STARTTLS: () => '220 ready\r\n250 injected' };
    const { upstream, relay } = await pair(t, { tls: await selfSigned(), script }, {}, '?tls=require');
    await assert.rejects(send(relay), /without being asked|bytes after/);
    assert.deepEqual(upstream.messages, []);
  });

  it('refuses even the beginning of a line after the reply to STARTTLS', async (t) => {
    const script = {
      STARTTLS(_line: string, peer: Peer) {
        peer.socket.write('220 ready\r\n250 inj');
        return '';
      },
    };
    const { relay } = await pair(t, { tls: await selfSigned(), script });
    await assert.rejects(send(relay), /bytes after the reply to STARTTLS/);
  });

  it('insists on STARTTLS and on the certificate if it is required', async (t) => {
    const without = await pair(t, {}, {}, '?tls=require');
    await assert.rejects(send(without.relay), /does not offer STARTTLS/);
    const unknown = await pair(t, { tls: await selfSigned() }, {}, '?tls=require');
    await assert.rejects(send(unknown.relay), /TLS with .* failed: .*SELF_SIGNED/);
    assert.equal(unknown.upstream.peers.length, 1, 'no second try in clear text');
    const known = await pair(t, { tls: await selfSigned() }, {}, `?tls=require&ca=${await caFile(t)}`);
    assert.equal(await send(known.relay), 250);
    assert.equal(known.upstream.messages[0]!.peer.secure, true);
  });

  it('speaks TLS from the start with smtps, and checks the certificate unless told otherwise', async (t) => {
    const fake = { tls: await selfSigned(), implicitTls: true };
    const checked = await pair(t, fake);
    await assert.rejects(send(checked.relay), /SELF_SIGNED/);
    const known = await pair(t, fake, {}, `?ca=${await caFile(t)}`);
    assert.equal(await send(known.relay), 250);
    const unchecked = await pair(t, fake, {}, '?tls=opportunistic');
    assert.equal(await send(unchecked.relay), 250);
    assert.equal(unchecked.upstream.messages[0]!.peer.secure, true);
  });
});

describe('relay login', () => {
  const offers = ['PIPELINING', 'AUTH LOGIN PLAIN'];
  const login = 'us%40er:s%2Fcret@';

  it('logs in with AUTH PLAIN, once a session', async (t) => {
    const { upstream, relay } = await pair(t, { offers, tls: await selfSigned() }, {}, '', login);
    assert.equal(await send(relay), 250);
    assert.equal(await send(relay), 250);
    const auth = upstream.commands.filter((command) => command.startsWith('AUTH'));
    assert.deepEqual(auth, [`AUTH PLAIN ${Buffer.from('\0us@er\0s/cret').toString('base64')}`]);
    assert.equal(upstream.peers[0]!.secure, true);
  });

  it('says what is wrong without the user name, the password or what the upstream makes of them', async (t) => {
    const notices: string[] = [];
    const script = { AUTH: () => '535 5.7.8 no such user: us@er with s/cret' };
    const options = { onNotice: (text: string) => notices.push(text) };
    const { relay } = await pair(t, { offers, script }, options, '', login);
    const seen: string[] = [];
    await send(relay).catch((error: unknown) => seen.push(inspect(error, { depth: 9 })));
    seen.push(
      (await relay.probe()).detail,
      inspect(relay, { depth: 9, showHidden: true }),
      JSON.stringify(relay),
      ...notices,
    );
    assert.match(seen[0]!, /refuses our login with 535/);
    const token = Buffer.from('\0us@er\0s/cret').toString('base64');
    for (const text of seen) {
      for (const secret of ['cret', 'us@er', 'us%40er', token]) assert.ok(!text.includes(secret), text);
    }
  });

  it('sends no password in clear text to another machine', async (t) => {
    const { upstream } = await pair(t, { offers });
    // Every address of this machine; not known to be loopback, which is what counts.
    const relay = relayTo(t, `smtp://${login}0.0.0.0:${upstream.port}`);
    await assert.rejects(send(relay), /a password is not sent in clear text/);
    assert.ok(!upstream.commands.some((command) => command.startsWith('AUTH')));
  });

  it('does not go on without a login if one is wanted', async (t) => {
    const { upstream, relay } = await pair(t, { offers: ['PIPELINING'] }, {}, '', login);
    await assert.rejects(send(relay), /does not offer AUTH PLAIN/);
    assert.ok(!upstream.commands.some((command) => command.startsWith('MAIL')));
  });
});
