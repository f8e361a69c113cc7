import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { ApiClient } from '../../../src/cli/client.js';
import type { StopgapError } from '../../../src/kernel/errors.js';

test('a request has its names in the path, its parameters in the query and the version in If-Match', async () => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { method, url, headers } = request;
    asked.push(`${method} ${url} ${headers['if-match'] ?? '-'} ${headers['content-type'] ?? '-'}`);
    response.setHeader('content-type', 'application/json').setHeader('x-request-id', 'r1');
    request.resume().on('end', () => response.end('{}'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = new ApiClient(new URL(`http://127.0.0.1:${port}/prefix/`), 'token');
  try {
    const path = { type: 'account', value: 'a/b?{type}$&@example.com' };
    await client.get('/api/v1/senders/{type}/{value}', { params: { path } });
    await client.get('/api/v1/blocks', { params: { query: { q: 'a&b c', limit: '5', rule: undefined } } });
    const header = { 'If-Match': '"7"' };
    await client.ask('delete', '/api/v1/overrides/{type}/{value}', { params: { path, header } });
    await client.ask('put', '/api/v1/rules', { params: { header }, body: { source: 'rules: []' } });
  } finally {
    server.close();
  }
  const value = 'a%2Fb%3F%7Btype%7D%24%26%40example.com';
  assert.deepEqual(asked, [
    `GET /prefix/api/v1/senders/account/${value} - -`,
    'GET /prefix/api/v1/blocks?q=a%26b+c&limit=5 - -',
    `DELETE /prefix/api/v1/overrides/account/${value} "7" -`,
    'PUT /prefix/api/v1/rules "7" application/json',
  ]);
});

test('a refusal tells what became of each item', async () => {
  const results = [{ id: 'a', result: 'recorded' }];
  const server = createServer((request, response) => {
    response.writeHead(503, { 'content-type': 'application/problem+json' });
    const problem = { code: 'unavailable', detail: 'send the others again', results };
    request.resume().on('end', () => response.end(JSON.stringify(problem)));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const client = new ApiClient(new URL(`http://127.0.0.1:${port}/`), 'token');
  try {
    const refused = (error: StopgapError): boolean => {
      assert.deepEqual([error.code, error.details], ['unavailable', { results }]);
      return true;
    };
    await assert.rejects(client.ask('post', '/api/v1/sends', { body: [] }), refused);
  } finally {
    server.close();
  }
});

/** Never called: the type check fails here, should it let any of these pass. */
export async function mistakes(client: ApiClient): Promise<void> {
  // @ts-expect-error no such route
  await client.get('/api/v1/blockz');
  // @ts-expect-error no such method of it
  await client.ask('put', '/api/v1/blocks', { body: {} });
  // @ts-expect-error no such parameter
  await client.get('/api/v1/blocks', { params: { query: { colour: 'red' } } });
  // @ts-expect-error no such value of it
  await client.get('/api/v1/blocks', { params: { query: { sort: 'prettiest' } } });
  // @ts-expect-error the id is missing
  await client.get('/api/v1/blocks/{id}');
  // @ts-expect-error it takes another name
  await client.get('/api/v1/blocks/{id}', { params: { path: { name: 'x' } } });
  const params = { path: { id: 'x' } };
  // @ts-expect-error no such field of the body
  await client.ask('post', '/api/v1/blocks/{id}/dismiss', { params, body: { why: 'because' } });
  // @ts-expect-error the body lacks a field
  await client.ask('post', '/api/v1/forget', { body: { subject: { type: 'account' } } });
  // @ts-expect-error no such field of the answer
  void (await client.get('/api/v1/storage')).disks;
  // @ts-expect-error the answer is no list
  void (await client.get('/api/v1/rules')).items;
}
