import path from 'node:path';
import { InvalidInput } from '../kernel/errors.js';
import { isLoopback } from '../sending/identity.js';
import type { RelayTarget } from '../smtp/relay/url.js';
import { parseRelayUrl } from '../smtp/relay/url.js';
import type { Config, RelaySettings } from './types.js';
import type { Parser } from './values.js';
import { asText, WrongValue } from './values.js';

/** Reads where accepted mail goes. No message holds the URL: its password would stand in it. */
export const asRelay: Parser<RelaySettings> = (raw, base) => {
  const text = typeof raw === 'string' ? asText(raw, base) : undefined;
  if (text === undefined) throw new WrongValue('is no text; use a URL such as smtp://127.0.0.1:25');
  const url = absolute(text, base);
  try {
    return relaySettings(url, parseRelayUrl(url));
  } catch (thrown) {
    if (thrown instanceof InvalidInput) throw new WrongValue(thrown.message.replace(/^relay\.url: /, ''));
    throw thrown;
  }
};

/** A Maildir as relay: `directory` is absolute. */
export function maildirRelay(directory: string): RelaySettings {
  return relaySettings(`maildir:${directory}`, { maildir: directory });
}

/** The relay as one may print it: never with its login. */
export function formatRelay({ target }: RelaySettings): string {
  if ('maildir' in target) return `maildir:${target.maildir}`;
  const scheme = target.implicitTls ? 'smtps' : target.protocol;
  const login = target.authPlain === undefined ? '' : '***@';
  return `${scheme}://${login}${target.name}?tls=${target.tls}`;
}

/** Every upstream that is named, and how the configuration names it. */
export function relaysOf({ smtp }: Config): readonly { key: string; relay: RelaySettings }[] {
  const named = smtp.inbound.map(({ relay }, index) => ({ key: `smtp.inbound[${index}].relay.url`, relay }));
  return [{ key: 'smtp.relay.url', relay: smtp.relay }, ...named.filter(({ relay }) => relay !== smtp.relay)];
}

export function isLocalHost(host: string): boolean {
  return host === 'localhost' || isLoopback(host);
}

function relaySettings(url: string, target: RelayTarget): RelaySettings {
  // Not enumerable, so that no dump of the configuration shows the password.
  return Object.defineProperty({ target }, 'url', { value: url, enumerable: false }) as RelaySettings;
}

/** Makes the paths in a relay's URL absolute: they are relative to the file that names them. */
function absolute(text: string, base: string): string {
  const maildir = /^maildir:(.+)$/i.exec(text)?.[1];
  if (maildir !== undefined) return `maildir:${path.resolve(base, maildir.replace(/^\/\/(?=\/)/, ''))}`;
  if (!URL.canParse(text)) return text;
  const url = new URL(text);
  const ca = url.searchParams.get('ca');
  if (ca === null) return text;
  url.searchParams.set('ca', path.resolve(base, ca));
  return url.href;
}
