import assert from 'node:assert/strict';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { PageServer, WITHOUT_BROWSER } from '../../support/page/browser.js';

const PREFIX = '/mail/stopgap/';

/** A reverse proxy that has Stopgap under a prefix, and can be away for a while. */
class PrefixProxy {
  readonly #server: http.Server;
  isAway = false;

  private constructor(target: string) {
    this.#server = http.createServer((request, response) => {
      if (this.isAway) return void request.socket.destroy();
      if (!request.url!.startsWith(PREFIX)) return void response.writeHead(404).end();
      const url = target + request.url!.slice(PREFIX.length);
      const { method, headers } = request;
      const passed = http.request(url, { method: method!, headers }, (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        response.on('close', () => answer.destroy());
        answer.pipe(response);
      });
      passed.on('error', () => response.destroy());
      request.pipe(passed);
    });
  }

  static async start(target: string): Promise<PrefixProxy> {
    const proxy = new PrefixProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${PREFIX}`;
  }

  /** Cuts every connection, and takes no other until it is back. */
  leave(): void {
    this.isAway = true;
    this.#server.closeAllConnections();
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

describe('the page behind a reverse proxy, under a prefix', { skip: WITHOUT_BROWSER }, () => {
  let server: PageServer;
  let proxy: PrefixProxy;
  before(async () => {
    server = await PageServer.start();
    proxy = await PrefixProxy.start(server.api.url);
  });
  after(async () => {
    proxy.close();
    await server.stop();
  });

  test('loads, signs in, and changes something', async () => {
    const page = await server.open({ as: 'operator', at: '/blocks', url: proxy.url });
    await page.getByRole('button', { name: 'Block a sender' }).click();
    await page.getByLabel('Its name').fill('bob@example.com');
    await page.getByRole('dialog').getByRole('button', { name: 'Block', exact: true }).click();
    await page.getByRole('table').getByText('bob@example.com').waitFor();
    assert.ok(page.url().startsWith(`${proxy.url}#`), page.url());
  });

  test('says since when it hears nothing, and shows what it has missed once the connection is back', async () => {
    const page = await server.open({ as: 'viewer', at: '/blocks', url: proxy.url });
    const mark = page.getByRole('banner').getByRole('status');
    await mark.getByText('Live').waitFor();
    proxy.leave();
    await mark.getByText(/As of .*, reconnecting/).waitFor();
    await server.api.block('missed@example.com');
    proxy.isAway = false;
    await mark.getByText('Live').waitFor();
    await page.getByRole('table').getByText('missed@example.com').waitFor();
  });
});
