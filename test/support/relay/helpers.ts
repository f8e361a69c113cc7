import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { TestContext } from 'node:test';
import { generate } from 'selfsigned';
import type { MessageBody } from '../../../src/smtp/relay/body.js';
import { collectBody } from '../../../src/smtp/relay/body.js';
import { openRelay } from '../../../src/smtp/relay/open.js';
import type { Relay, RelayEnvelope, RelayOptions } from '../../../src/smtp/relay/port.js';
import type { FakeOptions } from './fake-upstream.js';
import { FakeUpstream } from './fake-upstream.js';

export const ENVELOPE: RelayEnvelope = { returnPath: 'sender@example.com', utf8: false };
export const yes = (): boolean => true;

/** A directory of its own, gone after the test. */
export async function temporaryDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'stopgap-relay-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** A message in memory, from text or chunks. */
export function bodyOf(content: string | Buffer | readonly Buffer[], prefix?: string): Promise<MessageBody> {
  const chunks = typeof content === 'string' ? [Buffer.from(content)] : [content].flat();
  return collectBody(Readable.from(chunks), {
    // Nothing that is made here is long enough to be spooled: a directory that cannot be made proves it.
    spoolDir: '/dev/null/spool',
    ...(prefix === undefined ? {} : { prefix: Buffer.from(prefix) }),
  });
}

export const MESSAGE = 'Subject: test\r\n\r\nHello\r\n';

export interface Pair {
  readonly upstream: FakeUpstream;
  readonly relay: Relay;
}

/** A scripted upstream and a relay that speaks to it; both are gone after the test. */
export async function pair(
  t: TestContext,
  fake: FakeOptions = {},
  options: Partial<RelayOptions> = {},
  query = '',
  login = '',
): Promise<Pair> {
  const upstream = await FakeUpstream.start(fake);
  // Before the relay is closed, which would wait for answers that a script does not give.
  t.after(() => upstream.stop());
  return { upstream, relay: relayTo(t, upstream.url(query, login), options) };
}

export function relayTo(t: TestContext, url: string, options: Partial<RelayOptions> = {}): Relay {
  const relay = openRelay(url, { hostname: 'relay.test', closeTimeout: 200, ...options });
  t.after(() => relay.close());
  return relay;
}

let certificate: Promise<{ key: string; cert: string }> | undefined;

/** A self-signed certificate for localhost and 127.0.0.1, made once a process. */
export function selfSigned(): Promise<{ key: string; cert: string }> {
  certificate ??= generate([{ name: 'commonName', value: 'localhost' }], {
    keyType: 'ec',
    extensions: [
      { name: 'basicConstraints', cA: true },
      {
        name: 'subjectAltName',
        altNames: [
          { type: 2, value: 'localhost' },
          { type: 7, ip: '127.0.0.1' },
        ],
      },
    ],
  }).then(({ private: key, cert }) => ({ key, cert }));
  return certificate;
}
