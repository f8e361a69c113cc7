import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ApiServer, TOKENS } from '../../support/api/server.js';
import { ManualClock } from '../../support/manual-clock.js';
import { Terminal } from './support.js';

describe('how the command line finds server and token', () => {
  let server: ApiServer;
  before(async () => {
    server = await ApiServer.start();
  });
  after(() => server.stop());

  async function withTerminal(
    env: Record<string, string>,
    body: (terminal: Terminal) => Promise<void>,
  ): Promise<void> {
    const terminal = await Terminal.open(new ManualClock(), env);
    try {
      await body(terminal);
    } finally {
      await terminal.close();
    }
  }

  test('the evaluation set-up needs nothing but its directory', () =>
    withTerminal({ STOPGAP_API_LISTEN: new URL(server.url).host }, async (terminal) => {
      await mkdir(path.join(terminal.cwd, 'data'));
      await writeFile(path.join(terminal.cwd, 'data/demo-credentials.txt'), `# x\ntoken: ${TOKENS.admin}\n`);
      const { code, err } = await terminal.run('block', 'list', '--json');
      assert.equal(code, 0, err);
    }));

  test('what the server cannot do now is told as such, with what to do', async () => {
    const busy = http.createServer((_, response) => {
      const body = { code: 'unavailable', detail: 'reading block-x: no KurrentDB can be reached' };
      response.writeHead(503, { 'content-type': 'application/problem+json' }).end(JSON.stringify(body));
    });
    busy.listen(0, '127.0.0.1');
    await once(busy, 'listening');
    const url = `http://127.0.0.1:${(busy.address() as AddressInfo).port}`;
    try {
      await withTerminal({ STOPGAP_URL: url, STOPGAP_TOKEN: TOKENS.admin }, async (terminal) => {
        const { code, err } = await terminal.run('block', 'list');
        assert.equal(code, 1);
        assert.equal(
          err,
          `stopgap: ${url} cannot do this now (reading block-x: no KurrentDB can be reached): try again, or ask stopgap doctor\n`,
        );
      });
    } finally {
      busy.close();
    }
  });

  test('what answers in JSON and is no Stopgap is named as such', async () => {
    const other = http.createServer((_, response) => {
      response.setHeader('content-type', 'application/json').end('{}');
    });
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    const told = `stopgap: ${url} answers, but not as Stopgap does: check the URL\n`;
    await withTerminal({ STOPGAP_URL: url, STOPGAP_TOKEN: TOKENS.viewer }, async (terminal) => {
      for (const verb of [
        ['block', 'list'],
        ['check', '--account', 'x@example.com'],
        ['changes', '--json'],
        ['events', '--json'],
      ]) {
        const { code, out, err } = await terminal.run(...verb);
        assert.deepEqual([code, out, err], [1, '', told], verb.join(' '));
      }
    });
    other.close();
  });

  test('a feed that is cut off names the place from which it goes on', async () => {
    const event = {
      position: 7,
      at: '2026-01-01T00:00:00Z',
      type: 'BlockImposed',
      by: 'admin:x',
      stream: 's',
    };
    const cut = http.createServer((request, response) => {
      response.writeHead(200, {
        'content-type': 'text/event-stream',
        'x-request-id': request.headers['x-request-id'],
      });
      response.write(`data: ${JSON.stringify(event)}\n\n`, () => response.destroy());
    });
    cut.listen(0, '127.0.0.1');
    await once(cut, 'listening');
    const url = `http://127.0.0.1:${(cut.address() as AddressInfo).port}`;
    await withTerminal({ STOPGAP_URL: url, STOPGAP_TOKEN: TOKENS.viewer }, async (terminal) => {
      const { code, out, err } = await terminal.run('events', '--json');
      assert.equal(code, 1);
      assert.match(out, /"position":7/);
      assert.match(err, /^stopgap: no answer from http:\S+ \(\S.*\): .*: --after 7 goes on\n$/);
    });
    cut.close();
  });

  test('options go before the environment', () =>
    withTerminal({ STOPGAP_URL: 'http://127.0.0.1:9', STOPGAP_TOKEN: 'sgp_wrong' }, async (terminal) => {
      await writeFile(path.join(terminal.cwd, 'token'), `${TOKENS.viewer}\n`);
      const { code, err } = await terminal.run('block', 'list', '--url', server.url, '--token-file', 'token');
      assert.equal(code, 0, err);
      const missing = await terminal.run('block', 'list', '--url', server.url, '--token-file', 'none');
      assert.match(
        missing.err,
        /^stopgap: the token file \S+ does not exist; name another with --token-file$/m,
      );
    }));

  test('a port that speaks no HTTP, such as that of SMTP, is named as such', async () => {
    const smtp = net
      .createServer((socket) => socket.end('220 mx.example.com ESMTP\r\n'))
      .listen(0, '127.0.0.1');
    await once(smtp, 'listening');
    const url = `http://127.0.0.1:${(smtp.address() as AddressInfo).port}`;
    await withTerminal({ STOPGAP_URL: url, STOPGAP_TOKEN: TOKENS.viewer }, async (terminal) => {
      const { err } = await terminal.run('block', 'list');
      assert.match(err, /^stopgap: no answer from \S+ \(what answers there does not speak HTTP\): .*--url/);
    });
    smtp.close();
  });

  test('without a token it says where to get one', () =>
    withTerminal({ STOPGAP_URL: server.url }, async (terminal) => {
      const { code, err } = await terminal.run('block', 'list');
      assert.equal(code, 1);
      assert.match(
        err,
        /^stopgap: no token: set STOPGAP_TOKEN or give --token-file; stopgap token add makes one\n$/,
      );
    }));

  test('a wrong token is named as such, and never printed', () =>
    withTerminal({ STOPGAP_URL: server.url, STOPGAP_TOKEN: 'sgp_wrong-token' }, async (terminal) => {
      const { code, err } = await terminal.run('block', 'list');
      assert.equal(code, 1);
      assert.match(err, /does not take the token/);
      assert.equal(err.includes('sgp_wrong'), false);
    }));

  test('a role that is too small is told', () =>
    withTerminal({ STOPGAP_URL: server.url, STOPGAP_TOKEN: TOKENS.viewer }, async (terminal) => {
      const { code, err } = await terminal.run('block', 'add', 'account', 'x@example.com', '--for', '1h');
      assert.equal(code, 1);
      assert.match(err, /needs the role operator; the token the-viewer has the role viewer/);
    }));

  test('a server that does not run, and one that is another, are told', async () => {
    let status = 200;
    const other = http.createServer((_, response) =>
      response.writeHead(status, { connection: 'close' }).end('<html>'),
    );
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const url = `http://127.0.0.1:${(other.address() as AddressInfo).port}`;
    await withTerminal({ STOPGAP_URL: url, STOPGAP_TOKEN: 'sgp_x' }, async (terminal) => {
      const foreign = await terminal.run('block', 'list');
      assert.equal(foreign.code, 1);
      assert.match(foreign.err, /answers, but not as Stopgap does/);
      status = 503;
      const behind = await terminal.run('block', 'list');
      assert.match(behind.err, /answers 503, as a proxy does whose server is away: is stopgap serve running/);
      other.close();
      other.closeAllConnections();
      await once(other, 'close');
      const down = await terminal.run('block', 'list');
      assert.equal(down.code, 1);
      assert.match(down.err, /no answer from .* \(ECONNREFUSED\): is stopgap serve running there\?/);
      const malformed = await terminal.run('block', 'list', '--url', 'ftp://x');
      assert.match(malformed.err, /"ftp:\/\/x" is no URL/);
    });
  });
});
