import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clientOf } from '../../../src/api/http/client.js';

const PROXIES = ['192.0.2.1', '10.0.0.0/8', '2001:db8:1::/64'];

function networkOf(peer: string | undefined, forwarded?: string, trustedProxies = PROXIES): string {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
  const request = { socket: { remoteAddress: peer }, headers };
  return clientOf(request as unknown as Parameters<typeof clientOf>[0], {
    trustedProxies,
    proxyAuth: undefined,
  });
}

describe('the network of a client', () => {
  test('is that of the peer, whatever it says, unless the peer is a known proxy', () => {
    assert.equal(networkOf('198.51.100.7'), '198.51.100.7');
    assert.equal(networkOf('198.51.100.7', '203.0.113.9'), '198.51.100.7');
    assert.equal(networkOf('192.0.2.1', '203.0.113.9', []), '192.0.2.1');
    assert.equal(networkOf(undefined, '203.0.113.9'), 'unknown');
  });

  test('is what a known proxy says: of several addresses the last that is no proxy', () => {
    assert.equal(networkOf('192.0.2.1', '203.0.113.9'), '203.0.113.9');
    assert.equal(networkOf('::ffff:192.0.2.1', '203.0.113.9'), '203.0.113.9');
    assert.equal(networkOf('192.0.2.1', '1.1.1.1, 203.0.113.9'), '203.0.113.9', 'the client wrote the first');
    assert.equal(networkOf('192.0.2.1', '1.1.1.1,203.0.113.9, 10.1.2.3,2001:db8:1::5'), '203.0.113.9');
    assert.equal(networkOf('192.0.2.1', '10.1.1.1, 10.2.2.2'), '10.1.1.1', 'all are proxies');
    assert.equal(networkOf('2001:db8:1::5', '2001:DB8:9:9:1::1'), '2001:db8:9:9::/64');
  });

  test('is read with a port beside the address, and where it is none it is that of the proxy', () => {
    assert.equal(networkOf('192.0.2.1', '203.0.113.9:4711'), '203.0.113.9');
    assert.equal(networkOf('192.0.2.1', '[2001:db8:9:9::1]:4711'), '2001:db8:9:9::/64');
    for (const nothing of ['', 'unknown', '_hidden', '999.1.1.1', ',', '203.0.113.9, unknown'])
      assert.equal(networkOf('192.0.2.1', nothing), '192.0.2.1', nothing);
    assert.equal(networkOf('192.0.2.1', `203.0.113.9${',10.1.1.1'.repeat(5000)}`), '10.1.1.1');
  });

  test('is also what a proxy says that signs people in', () => {
    const proxyAuth = { from: ['192.0.2.1'], userHeader: 'U', groupsHeader: 'G', roles: {} };
    const request = { socket: { remoteAddress: '192.0.2.1' }, headers: { 'x-forwarded-for': '203.0.113.9' } };
    const given = request as unknown as Parameters<typeof clientOf>[0];
    assert.equal(clientOf(given, { proxyAuth }), '203.0.113.9');
  });
});
