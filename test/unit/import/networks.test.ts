import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseNetworks } from '../../../src/import/networks.js';
import { InvalidInput } from '../../../src/kernel/errors.js';

describe('networks as mynetworks lists them', () => {
  test('hold the addresses that lie in them', () => {
    const isOurs = parseNetworks('127.0.0.0/8 [::ffff:10.0.0.0]/104 [::1]/128, 192.0.2.7,[2001:db8::]/32');
    for (const ip of ['127.0.0.1', '10.1.2.3', '::1', '192.0.2.7', '::ffff:192.0.2.7', '2001:db8:5::1'])
      assert.equal(isOurs(ip), true, ip);
    for (const ip of ['126.0.0.1', '11.0.0.1', '192.0.2.8', '::2', '2001:db9::', 'unknown', ''])
      assert.equal(isOurs(ip), false, ip);
    assert.equal(parseNetworks('')('127.0.0.1'), false);
    assert.equal(parseNetworks('0.0.0.0/0')('::1'), false);
  });

  test('must be networks', () => {
    for (const text of [
      '127.0.0.0/33',
      '127.1',
      'mail.example.com',
      'cidr:/etc/postfix/networks',
      '[::1]/129',
    ])
      assert.throws(() => parseNetworks(text, '--networks'), InvalidInput, text);
  });
});
