'use strict';
// A plugin for Haraka 3: asks Stopgap before each recipient whether the sender is blocked, and reports what was queued.
// See docs/run/mail-servers.md. Haraka goes on with mail while Stopgap is away.
const http = require('node:http');
const { URL } = require('node:url');

const MOST_WAITING = 10_000;
const AT_ONCE = 500;
/** Bytes of a report. Stopgap takes twice as much, and refuses what is larger for good. */
const LARGEST = 500_000;
const agent = new http.Agent({ keepAlive: true });

exports.register = function () {
  this.cfg = this.config.get('stopgap.ini');
  this.waiting = [];
  this.sending = false;
};

/** Gives the answer; undefined where there is none in time. @param body JSON */
exports.ask = function (path, body, timeout, done) {
  const { url = 'http://127.0.0.1:8025', token = '' } = this.cfg.main;
  const once = (error, answer) => {
    clearTimeout(timer);
    if (error) this.logwarn(`Stopgap does not answer: ${error.message}`);
    done(answer);
    done = () => undefined;
  };
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
  const request = http.request(new URL(path, url).href, { method: 'POST', agent, headers }, (response) => {
    let text = '';
    response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
    response.on('error', once).on('end', () => {
      const isJson = response.headers['content-type']?.startsWith('application/json');
      if (response.statusCode !== 200 || !isJson)
        return once(new Error(`status ${response.statusCode}: ${text.slice(0, 300)}`));
      try {
        once(undefined, JSON.parse(text));
      } catch (error) {
        once(error);
      }
    });
  });
  const timer = setTimeout(() => request.destroy(new Error('too late')), timeout);
  request.on('error', once).end(body);
};

/** Stopgap looks at no more of a name, and of an item it takes 64 KB. */
const fit = (name) => (typeof name === 'string' ? name.slice(0, 1024) : undefined);

function senderOf({ notes, remote, hello, transaction }) {
  const { mail_from: from } = transaction;
  // A method in older versions of Haraka.
  const returnPath = typeof from.address === 'function' ? from.address() : from.address;
  return { account: fit(notes.auth_user), returnPath: fit(returnPath), ip: remote.ip, ehlo: fit(hello.host) };
}

exports.hook_rcpt = function (next, connection) {
  if (!connection.transaction) return next();
  const question = { ...senderOf(connection), id: connection.transaction.uuid };
  this.ask('/api/v1/decide', JSON.stringify(question), 2000, (answer) => {
    if (answer === undefined || answer.action === 'accept') return next();
    const text = answer.text ?? '4.3.2 Service temporarily unavailable, please try again later';
    next(answer.code >= 500 ? DENY : DENYSOFT, text);
  });
};

exports.hook_queue_ok = function (next, connection) {
  const { transaction } = connection;
  if (!transaction || this.waiting.length >= MOST_WAITING) return next();
  const hosts = transaction.rcpt_to.map(({ host }) => host);
  const domains = new Set(hosts.filter((host) => host && host.length <= 255));
  const item = {
    ...{ type: 'accepted', id: transaction.uuid, at: new Date().toISOString(), ...senderOf(connection) },
    ...{ recipients: transaction.rcpt_to.length, size: transaction.data_bytes },
    recipientDomains: [...domains].slice(0, 20),
  };
  this.waiting.push(JSON.stringify(item));
  next();
  this.report();
};

/** What is not answered is sent again: Stopgap counts an id once. */
exports.report = function () {
  if (this.sending || this.waiting.length === 0) return;
  this.sending = true;
  let size = 0;
  const isTooMuch = (item, index) => (size += Buffer.byteLength(item) + 1) > LARGEST && index > 0;
  const first = this.waiting.slice(0, AT_ONCE);
  const most = first.findIndex(isTooMuch);
  const items = most < 0 ? first : first.slice(0, most);
  this.ask('/api/v1/sends', `[${items}]`, 15_000, (answer) => {
    this.sending = false;
    if (answer === undefined) return setTimeout(() => this.report(), 5000).unref();
    this.waiting.splice(0, items.length);
    this.report();
  });
};
