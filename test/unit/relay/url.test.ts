import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { InvalidInput } from '../../../src/kernel/errors.js';
import type { Upstream } from '../../../src/smtp/relay/url.js';
import { parseRelayUrl } from '../../../src/smtp/relay/url.js';

const upstream = (url: string): Upstream => parseRelayUrl(url) as Upstream;

describe('relay URL', () => {
  it('names host and port, with the usual ports if none is given', () => {
    assert.deepEqual(upstream('smtp://mx.example.com').address, { host: 'mx.example.com', port: 25 });
    assert.deepEqual(upstream('smtps://mx.example.com').address, { host: 'mx.example.com', port: 465 });
    assert.deepEqual(upstream('lmtp://[::1]').address, { host: '::1', port: 24 });
    assert.deepEqual(upstream('smtp://127.0.0.1:2525/').address, { host: '127.0.0.1', port: 2525 });
    assert.equal(upstream('smtp://[::1]:26').name, '[::1]:26');
    assert.deepEqual(upstream('lmtp:///run/dovecot/l%20mtp').address, { path: '/run/dovecot/l mtp' });
    assert.deepEqual(parseRelayUrl('maildir:./data/mail'), { maildir: './data/mail' });
  });

  it('settles TLS', () => {
    const tls = (url: string) => [upstream(url).tls, upstream(url).implicitTls, upstream(url).verify];
    assert.deepEqual(tls('smtp://h'), ['opportunistic', false, false]);
    assert.deepEqual(tls('smtp://h?tls=require'), ['require', false, true]);
    assert.deepEqual(tls('lmtp://h?tls=off'), ['off', false, false]);
    assert.deepEqual(tls('smtps://h'), ['require', true, true]);
    assert.deepEqual(tls('smtps://h?tls=opportunistic'), ['opportunistic', true, false]);
  });

  it('knows what stays on this machine', () => {
    const inside = ['smtp://127.0.0.1', 'smtp://127.9.9.9', 'smtp://[::1]', 'smtp://localhost', 'lmtp:///x'];
    for (const url of inside) assert.equal(upstream(url).loopback, true, url);
    for (const url of ['smtp://192.168.0.1', 'smtp://localhost.example.com', 'smtp://0.0.0.0']) {
      assert.equal(upstream(url).loopback, false, url);
    }
  });

  it('keeps the login out of sight', () => {
    const target = upstream('smtp://us%40er:p%3Ass@h');
    assert.equal(Buffer.from(target.authPlain!(), 'base64').toString(), '\0us@er\0p:ss');
    assert.doesNotMatch(inspect(target, { depth: 9 }) + JSON.stringify(target), /us@er|us%40er|p:ss/);
    assert.equal(upstream('smtp://h').authPlain, undefined);
  });

  const wrong: Array<[url: string, problem: RegExp]> = [
    ['', /no URL/],
    ['mx.example.com', /no URL/],
    ['http://s3cret:s3cret@h', /unknown scheme "http"/],
    ['smtp://s3cret:s3cret@h:99999', /no URL/],
    ['smtp://s3cret:s3cret@h:0', /port 0/],
    ['smtp://s3cret:s3cret@h/path', /nothing may follow/],
    ['smtp:///path', /host is missing/],
    ['lmtp://', /host is missing/],
    ['maildir:', /path of a directory/],
    ['smtp://s3cret:s3cret@h?tls=maybe', /tls is off, opportunistic or require/],
    ['smtp://s3cret:s3cret@h?pool=3', /unknown option "pool"/],
    ['smtps://s3cret:s3cret@h?tls=off', /cannot go with/],
    ['smtp://s3cret:s3cret%@h', /followed by two hexadecimal digits/],
    ['smtp://:s3cret@h', /needs a user name/],
    [
      'smtp://s3cret:s3cret@h?ca=/nowhere/ca.pem',
      /the file of ca, \/nowhere\/ca\.pem, does not exist; name a PEM file/,
    ],
  ];
  for (const [url, problem] of wrong) {
    it(`refuses ${JSON.stringify(url.replaceAll('s3cret', '*'))} and does not repeat a password`, () => {
      assert.throws(
        () => parseRelayUrl(url),
        (error) => {
          assert.ok(error instanceof InvalidInput);
          assert.equal(error.field, 'relay.url');
          assert.match(error.message, problem);
          assert.ok(!inspect(error).includes('s3cret'));
          return true;
        },
      );
    });
  }
});
