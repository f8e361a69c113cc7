import type { TestContext } from 'node:test';
import type { Channel } from '../../../src/config/schema.js';
import { load } from '../../unit/config/helpers.js';

/** A key that signs, of 24 bytes. */
export const KEY = `whsec_${Buffer.from('a-key-of-24-bytes-length').toString('base64')}`;

/** A channel as the configuration gives it. */
export function channelOf(t: TestContext, settings: Readonly<Record<string, unknown>> = {}): Channel {
  const channel = { name: 'ops', type: 'webhook', url: 'http://127.0.0.1:9/', secret: KEY, ...settings };
  const yaml = JSON.stringify({
    smtp: { relay: { url: 'smtp://127.0.0.1:25' } },
    notices: { channels: [channel] },
  });
  return load(t, { yaml }).config.notices.channels[0]!;
}
