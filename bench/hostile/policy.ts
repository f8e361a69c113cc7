import { once } from 'node:events';
import net from 'node:net';
import type { Attack, Target } from './target.js';

/*
 * What somebody may say who reaches the policy port: requests within their bounds (128 attributes, 65,536 octets), all at once.
 */

const BYTES = 4 * 1024 * 1024;

const request = (attributes: readonly string[]): string =>
  ['request=smtpd_access_policy', ...attributes, '', ''].join('\n');

/** Sends these requests again and again without reading in between, and waits for the end. */
async function flood({ policy, from }: Target, text: string): Promise<void> {
  const socket = net.connect({ port: policy, host: '127.0.0.1', localAddress: from });
  socket.on('error', () => socket.destroy());
  socket.resume();
  socket.end(Buffer.from(text.repeat(Math.ceil(BYTES / Buffer.byteLength(text)))));
  if (!socket.closed) await once(socket, 'close');
}

const NAMES = ['sasl_username', 'sender', 'helo_name', 'recipient'];
const named = (name: string): string =>
  request(['protocol_state=RCPT', 'instance=1.2.3', ...NAMES.map((each) => `${each}=${name}`)]);
const ORDINARY = named('someone@example.com');
/** Combining marks in the order that costs most to put right, as many as are looked at. */
const MARKS = `a${'\u0300'.repeat(255)}${'\u0316'.repeat(255)}@b.c`;

const ordinary = (target: Target): Promise<void> => flood(target, ORDINARY);

export const POLICY: readonly Attack[] = [
  {
    door: 'policy',
    worst: 'names of combining marks',
    attack: (target) => flood(target, named(MARKS)),
    ordinary,
  },
  {
    door: 'policy',
    worst: 'many short requests at the end of a message',
    attack: (target) =>
      flood(
        target,
        Array.from({ length: 50_000 }, (_, n) =>
          request(['protocol_state=END-OF-MESSAGE', `instance=${n}`]),
        ).join(''),
      ),
    ordinary,
  },
  {
    door: 'policy',
    worst: 'requests of which nothing is known',
    attack: (target) => flood(target, 'a=\n\n'),
    ordinary,
  },
  {
    door: 'policy',
    worst: 'as many attributes as may be',
    attack: (target) => flood(target, `${'a=\n'.repeat(128)}\n`),
    ordinary,
  },
  {
    door: 'policy',
    worst: 'the longest lines',
    attack: (target) => flood(target, `sender=${'x'.repeat(65_000)}\n\n`),
    ordinary,
  },
];
