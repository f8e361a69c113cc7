import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadConfig } from '../../../src/config.js';
import type { Channel } from '../../../src/config/schema.js';

/** A key that signs, of 24 bytes. */
export const KEY = `whsec_${Buffer.from('a-key-of-24-bytes-length').toString('base64')}`;

/** A channel as the configuration gives it. */
export function channelOf(settings: Readonly<Record<string, unknown>> = {}): Channel {
  const channel = { name: 'ops', type: 'webhook', url: 'http://127.0.0.1:9/', secret: KEY, ...settings };
  const config = { smtp: { relay: { url: 'smtp://127.0.0.1:25' } }, notices: { channels: [channel] } };
  const cwd = mkdtempSync(path.join(tmpdir(), 'stopgap-'));
  try {
    writeFileSync(path.join(cwd, 'stopgap.yaml'), JSON.stringify(config));
    return loadConfig({ env: {}, cwd }).config.notices.channels[0]!;
  } finally {
    rmSync(cwd, { recursive: true });
  }
}
