import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { SMTPServer } from 'smtp-server';
import type { Relay } from '../../../src/smtp/relay/port.js';
import { FakeUpstream } from './fake-upstream.js';
import { relayTo, selfSigned, temporaryDir } from './helpers.js';

/** What has arrived through a relay of any kind. */
export interface Arrived {
  readonly returnPath: string;
  readonly recipients: readonly string[];
  readonly content: Buffer;
}

export interface Plugged {
  readonly relay: Relay;
  readonly arrived: () => Promise<Arrived[]>;
}

/** One kind of relay in front of something that shows what it took. */
export interface Adapter {
  readonly name: string;
  readonly plug: (t: TestContext) => Promise<Plugged>;
}

function scripted(lmtp: boolean, offers?: readonly string[]): Adapter['plug'] {
  return async (t) => {
    const upstream = await FakeUpstream.start({ lmtp, ...(offers === undefined ? {} : { offers }) });
    t.after(() => upstream.stop());
    return {
      relay: relayTo(t, upstream.url()),
      arrived: async () =>
        upstream.messages.map(({ from, to, content }) => ({
          returnPath: pathOf(from),
          recipients: to.map(pathOf),
          content,
        })),
    };
  };
}

/** The smtp-server library as the peer: an implementation that is not ours. */
function library(lmtp: boolean): Adapter['plug'] {
  return async (t) => {
    const arrived: Arrived[] = [];
    const server = new SMTPServer({
      lmtp,
      ...(await selfSigned()),
      authOptional: true,
      disableReverseLookup: true,
      logger: false,
      onData(stream, session, done) {
        const chunks: Buffer[] = [];
        stream.on('data', (chunk: Buffer) => chunks.push(chunk));
        stream.on('end', () => {
          const { mailFrom, rcptTo } = session.envelope;
          arrived.push({
            returnPath: mailFrom === false ? '' : mailFrom.address,
            recipients: rcptTo.map(({ address }) => address),
            content: Buffer.concat(chunks),
          });
          done();
        });
      },
    });
    // A relay that breaks off in the middle of DATA is what some tests are about.
    server.on('error', () => undefined);
    const listener = server.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const relay = relayTo(t, `${lmtp ? 'lmtp' : 'smtp'}://127.0.0.1:${port}`);
    t.after(() => new Promise<void>((resolve) => server.close(() => resolve())));
    return { relay, arrived: async () => arrived };
  };
}

async function maildir(t: TestContext): Promise<Plugged> {
  const dir = join(await temporaryDir(t), 'mail');
  return { relay: relayTo(t, `maildir:${dir}`), arrived: () => readMaildir(dir) };
}

/** What lies in `new`, with the lines that delivery put before it taken off again. */
export async function readMaildir(dir: string): Promise<Arrived[]> {
  const names = await readdir(join(dir, 'new')).catch(() => []);
  return Promise.all(
    names.sort().map(async (name) => {
      const content = await readFile(join(dir, 'new', name));
      const head = /^Return-Path: <(.*)>\r\n((?:Envelope-To: .*\r\n)+)/.exec(content.toString('latin1'))!;
      return {
        returnPath: head[1]!,
        recipients: [...head[2]!.matchAll(/: (.*)\r\n/g)].map((line) => line[1]!),
        content: content.subarray(head[0].length),
      };
    }),
  );
}

function pathOf(command: string): string {
  return /<(.*)>/.exec(command)![1]!;
}

export const ADAPTERS: readonly Adapter[] = [
  { name: 'SMTP, scripted', plug: scripted(false) },
  { name: 'SMTP without extensions, scripted', plug: scripted(false, []) },
  { name: 'LMTP, scripted', plug: scripted(true) },
  { name: 'SMTP, smtp-server', plug: library(false) },
  { name: 'LMTP, smtp-server', plug: library(true) },
  { name: 'Maildir', plug: maildir },
];
