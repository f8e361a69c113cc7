import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { text } from 'node:stream/consumers';

/** One alert, as Alertmanager hands it to a webhook. */
export interface ReceivedAlert {
  readonly status: 'firing' | 'resolved';
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A webhook receiver: remembers what came, by the path that it came to, and who waits for it. */
export class Receiver {
  /** Everything that came, word by word. */
  readonly bodies: string[] = [];
  readonly #alerts: { readonly at: string; readonly alert: ReceivedAlert }[] = [];
  readonly #waiting = new Set<() => void>();
  readonly #server = createServer((request, response) => {
    void text(request).then((body) => {
      this.bodies.push(body);
      const { alerts } = JSON.parse(body) as { alerts: readonly ReceivedAlert[] };
      for (const alert of alerts) this.#alerts.push({ at: request.url!.slice(1), alert });
      response.end();
      for (const look of [...this.#waiting]) look();
    });
  });

  static async start(t: Pick<TestContext, 'after'>): Promise<Receiver> {
    const receiver = new Receiver();
    receiver.#server.listen(0, '127.0.0.1');
    await once(receiver.#server, 'listening');
    t.after(() => {
      receiver.#server.closeAllConnections();
      receiver.#server.close();
    });
    return receiver;
  }

  /** Where a receiver of that name is to post to. */
  url(name: string): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/${name}`;
  }

  /** Resolves once this alert has come to the receiver of that name. */
  async alert(name: string, alertname: string): Promise<ReceivedAlert> {
    return new Promise((resolve) => {
      const look = (): void => {
        const found = this.#alerts.find(
          ({ at, alert }) => at === name && alert.labels['alertname'] === alertname,
        );
        if (found === undefined) return;
        this.#waiting.delete(look);
        resolve(found.alert);
      };
      this.#waiting.add(look);
      look();
    });
  }
}
