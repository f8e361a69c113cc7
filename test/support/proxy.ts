import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

/** A wire to a port of loopback, which a test can break. */
export class Proxy {
  readonly #server: net.Server;
  readonly #pairs = new Set<readonly [Socket, Socket]>();
  readonly #stranded = new Set<readonly [Socket, Socket]>();
  #state: 'sound' | 'mute' | 'cut' = 'sound';

  private constructor(target: number) {
    this.#server = net.createServer({ pauseOnConnect: true }, (near) => this.#take(near, target));
  }

  static async to(target: number): Promise<Proxy> {
    const proxy = new Proxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Passes nothing on, either way. Connections stay, and new ones are taken. What was on its way comes once it heals. */
  mute(): void {
    this.muteAnswers();
    for (const [near, far] of this.#pairs) near.unpipe(far).pause();
  }

  /** As {@link mute}; but what is said on connections that there are does arrive, and its answers do not. */
  muteAnswers(): void {
    this.#state = 'mute';
    for (const [near, far] of this.#pairs) far.unpipe(near).pause();
  }

  /** Resets every connection, and each new one. */
  cut(): void {
    this.#state = 'cut';
    for (const [near] of this.#pairs) near.resetAndDestroy();
  }

  heal(): void {
    if (this.#state === 'mute') for (const pair of this.#pairs) join(pair);
    this.#state = 'sound';
  }

  /**
   * Passes new connections on. Those that are there stay silent for good, like one whose packets the system sends again
   * ever more rarely.
   */
  strand(): void {
    for (const pair of this.#pairs) this.#stranded.add(pair);
    this.#pairs.clear();
    this.#state = 'sound';
  }

  async close(): Promise<void> {
    for (const pair of this.#stranded) this.#pairs.add(pair);
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #take(near: Socket, target: number): void {
    if (this.#state === 'cut') {
      near.resetAndDestroy();
      return;
    }
    const far = net.connect({ port: target, host: '127.0.0.1', noDelay: true });
    near.setNoDelay(true);
    const pair = [near, far] as const;
    this.#pairs.add(pair);
    for (const [one, other] of [pair, [far, near]] as const) {
      // A reset of one side is passed on as the end of the other.
      one.on('error', () => undefined);
      one.on('close', () => {
        this.#pairs.delete(pair);
        this.#stranded.delete(pair);
        other.destroy();
      });
    }
    if (this.#state === 'sound') join(pair);
  }
}

function join([near, far]: readonly [Socket, Socket]): void {
  near.unpipe(far).pipe(far);
  far.pipe(near);
}
