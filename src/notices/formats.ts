import { createHmac } from 'node:crypto';
import type { Channel } from '../config/schema.js';
import type { Instant } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import type { Notice } from './events.js';
import type { NoticeText } from './texts.js';
import { bodyOf, textOf } from './texts.js';

/** One HTTP request. The URL is a secret. */
export interface HttpRequest {
  readonly method: 'POST' | 'PUT';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

type Format = (
  channel: Channel & { readonly url: { readonly secret: string } },
  notice: Notice,
  about: { readonly text: NoticeText; readonly publicUrl: string | undefined; readonly now: Instant },
) => HttpRequest;

/** Characters of a text that all services take: ntfy makes a file of more than 4,096 bytes. */
const LONGEST_TEXT = 3500;
/** Characters of a title in a header. */
const LONGEST_TITLE = 200;

const JSON_TYPE = { 'content-type': 'application/json' };

const FORMATS: Readonly<Record<Exclude<Channel['type'], 'mail'>, Format>> = {
  webhook(channel, notice, { publicUrl, now }) {
    const body = JSON.stringify(bodyOf(channel.name, notice, publicUrl));
    const headers = { ...JSON_TYPE, ...signed(channel.secret?.secret ?? '', notice.id, now, body) };
    return { method: 'POST', url: channel.url.secret, headers, body };
  },
  slack({ url }, _notice, { text }) {
    const plain = plainOf(text).replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
    const body = JSON.stringify({ text: plain, mrkdwn: false, unfurl_links: false, unfurl_media: false });
    return { method: 'POST', url: url.secret, headers: JSON_TYPE, body };
  },
  teams({ url }, _notice, { text }) {
    const block = (words: string, more = {}) => ({
      type: 'TextBlock',
      text: unmarked(words),
      wrap: true,
      ...more,
    });
    const content = {
      $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
      type: 'AdaptiveCard',
      version: '1.4',
      body: [block(text.title, { weight: 'Bolder' }), ...cut(text.lines).map((line) => block(line))],
      ...(text.link === undefined
        ? {}
        : { actions: [{ type: 'Action.OpenUrl', title: 'Look at it', url: text.link }] }),
    };
    const attachments = [{ contentType: 'application/vnd.microsoft.card.adaptive', content }];
    return {
      method: 'POST',
      url: url.secret,
      headers: JSON_TYPE,
      body: JSON.stringify({ type: 'message', attachments }),
    };
  },
  ntfy({ url, secret }, { kind }, { text }) {
    const { title, lines, link } = text;
    const headers = {
      'content-type': 'text/plain; charset=utf-8',
      title: headerText(title.slice(0, LONGEST_TITLE)),
      priority: kind === 'breaker' ? 'urgent' : 'default',
      ...(link === undefined ? {} : { click: link }),
      ...bearer(secret),
    };
    return { method: 'POST', url: url.secret, headers, body: cut(lines).join('\n') };
  },
  matrix({ url, secret }, { id }, { text }) {
    // The transaction's id makes a repeated attempt the same message.
    const target = `${url.secret.replace(/\/$/, '')}/send/m.room.message/${encodeURIComponent(id)}`;
    // A sender that is called @room must not call everybody.
    const body = JSON.stringify({ msgtype: 'm.text', body: plainOf(text), 'm.mentions': {} });
    return { method: 'PUT', url: target, headers: { ...JSON_TYPE, ...bearer(secret) }, body };
  },
};

/** What is sent for a notice. @param now of this attempt */
export function requestOf(
  channel: Channel,
  notice: Notice,
  publicUrl: string | undefined,
  now: Instant,
): HttpRequest {
  const text = textOf(notice, publicUrl, channel.texts);
  const { type } = channel;
  if (type === 'mail' || channel.url === undefined) throw new Error('this channel has no URL');
  return FORMATS[type]({ ...channel, url: channel.url }, notice, { text, publicUrl, now });
}

/** By Standard Webhooks: several signatures while one key replaces another. */
function signed(secrets: string, id: string, now: Instant, body: string): Record<string, string> {
  const timestamp = String(Math.floor(now / SECOND));
  const signatures = secrets.split(',').map((secret) => {
    const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  });
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  };
}

function bearer(secret: Channel['secret']): Record<string, string> {
  return secret === undefined ? {} : { authorization: `Bearer ${secret.secret}` };
}

export function plainOf({ title, lines, link }: NoticeText): string {
  const said = [title, ...cut(lines)];
  return [...said, ...(link === undefined || names(said, link) ? [] : [link])].join('\n');
}

/** Whether the link is there already, by a text of the channel. That of a list is the beginning of others. */
function names(lines: readonly string[], link: string): boolean {
  return lines.some((line) =>
    line
      .split(link)
      .slice(1)
      .some((rest) => !/^[\w/%-]/.test(rest)),
  );
}

function cut(lines: readonly string[]): readonly string[] {
  const kept: string[] = [];
  let length = 0;
  for (const line of lines) {
    length += Buffer.byteLength(line) + 1;
    if (length > LONGEST_TEXT) return [...kept, '… and more.'];
    kept.push(line);
  }
  return kept;
}

/** An adaptive card reads Markdown: a name must not become a link. */
function unmarked(text: string): string {
  return text.replace(/[[\]()*_~`\\<>]/g, '\\$&');
}

/** Bytes of an encoded word: it has 75 characters at most (RFC 2047 section 2). */
const LONGEST_WORD = 45;

/**
 * A title in a header. What is beyond ASCII is encoded, and so is what looks encoded already: a sender's name could else
 * be shown as any words.
 */
export function headerText(text: string): string {
  if (/^[ -~]*$/.test(text) && !text.includes('=?')) return text;
  const words = [''];
  for (const character of text.toWellFormed()) {
    const longer = words.at(-1)! + character;
    if (Buffer.byteLength(longer) > LONGEST_WORD) words.push(character);
    else words[words.length - 1] = longer;
  }
  return words.map((word) => `=?UTF-8?B?${Buffer.from(word).toString('base64')}?=`).join(' ');
}
