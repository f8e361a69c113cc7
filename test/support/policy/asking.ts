import { once } from 'node:events';
import net from 'node:net';
import type { TestContext } from 'node:test';

let instances = 0;

/** What Postfix 3.10 sends, in its order, with what a test wants to be otherwise. */
export function requestText(attributes: Readonly<Record<string, string>> = {}): string {
  const all: Record<string, string> = {
    request: 'smtpd_access_policy',
    protocol_state: 'RCPT',
    protocol_name: 'ESMTP',
    client_address: '192.0.2.7',
    client_name: 'unknown',
    client_port: '45678',
    reverse_client_name: 'unknown',
    server_address: '198.51.100.1',
    server_port: '587',
    helo_name: 'pc.example.com',
    sender: 'alice@example.com',
    recipient: 'one@elsewhere.test',
    recipient_count: '0',
    queue_id: '',
    instance: `1f2e.6b0a8558.e7ade.${(instances++).toString(16)}`,
    size: '0',
    etrn_domain: '',
    stress: '',
    sasl_method: 'plain',
    sasl_username: 'alice@example.com',
    sasl_sender: '',
    ccert_subject: '',
    encryption_protocol: 'TLSv1.3',
    encryption_keysize: '256',
    policy_context: '',
    compatibility_level: '3.10',
    mail_version: '3.10.13',
    ...attributes,
  };
  return `${Object.entries(all)
    .map(([name, value]) => `${name}=${value}\n`)
    .join('')}\n`;
}

/** A mail server's connection to the policy service. */
export class Asking {
  readonly socket: net.Socket;
  /** Resolves when the connection is closed, with whatever came that was not taken. */
  readonly closed: Promise<string>;
  #text = '';
  #wake = (): void => undefined;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      this.#text += chunk;
      this.#wake();
    });
    socket.on('error', () => socket.destroy());
    this.closed = new Promise((resolve) =>
      socket.once('close', () => {
        resolve(this.#text);
        this.#wake();
      }),
    );
  }

  static async open(
    t: Pick<TestContext, 'after'>,
    where: number | string,
    options: { readonly allowHalfOpen?: boolean } = {},
  ): Promise<Asking> {
    const target = typeof where === 'number' ? { port: where, host: '127.0.0.1' } : { path: where };
    const socket = net.connect({ ...target, ...options });
    t.after(() => socket.destroy());
    await once(socket, 'connect');
    return new Asking(socket);
  }

  send(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** The next action that is answered. Fails where the connection is closed before. */
  async action(): Promise<string> {
    for (;;) {
      const end = this.#text.indexOf('\n\n');
      if (end >= 0) {
        const answer = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        if (!answer.startsWith('action=')) throw new Error(`no answer: ${answer}`);
        return answer.slice('action='.length);
      }
      if (this.socket.destroyed) throw new Error('the connection was closed without an answer');
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Asks, and gives the action. */
  async ask(attributes: Readonly<Record<string, string>> = {}): Promise<string> {
    this.send(requestText(attributes));
    return this.action();
  }
}
