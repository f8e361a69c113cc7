import type { Socket } from 'node:net';
import type { RawReply } from './reply.js';
import { MalformedReply, ReplyReader } from './reply.js';

/** What a wire tells whoever uses it. */
export interface WireEvents {
  reply(reply: RawReply): void;
  /**
   * The connection is of no more use. `closedByUpstream`: it went away, rather than to talk nonsense; `fault`: why
   * without what it said, where that is less.
   */
  broken(why: string, closedByUpstream: boolean, fault?: string): void;
  /** The socket takes more again. */
  drained(): void;
}

/** One connection to the upstream: bytes go out, replies come in; under way it may be secured by TLS. */
export class Wire {
  readonly #name: string;
  readonly #events: WireEvents;
  readonly #onReply: (reply: RawReply) => void;
  #socket: Socket;
  #reader = new ReplyReader();
  #detach: () => void = () => undefined;

  constructor(socket: Socket, name: string, events: WireEvents) {
    this.#name = name;
    this.#events = events;
    this.#onReply = (reply) => events.reply(reply);
    this.#socket = socket;
    this.#attach(socket);
  }

  get socket(): Socket {
    return this.#socket;
  }

  /** Goes on over TLS. Throws where clear-text bytes stand behind the reply to STARTTLS: they may be injected. */
  secure(wrap: (plain: Socket) => Socket): void {
    if (this.#reader.partial) throw new MalformedReply('bytes after the reply to STARTTLS');
    const plain = this.#socket;
    this.#detach();
    plain.on('error', (error) => this.#failed(error));
    this.#reader = new ReplyReader();
    this.#socket = wrap(plain);
    this.#attach(this.#socket);
  }

  #attach(socket: Socket): void {
    const onData = (chunk: Buffer): void => {
      try {
        this.#reader.push(chunk, this.#onReply);
      } catch (error) {
        const fault = `${this.#name} answered nonsense`;
        this.#events.broken(`${fault}: ${(error as Error).message}`, false, fault);
      }
    };
    const onClose = (): void => this.#events.broken(`${this.#name} closed the connection`, true);
    const onError = (error: Error): void => this.#failed(error);
    const onDrain = (): void => this.#events.drained();
    socket
      .on('data', onData)
      .on('end', onClose)
      .on('close', onClose)
      .on('error', onError)
      .on('drain', onDrain);
    this.#detach = () => {
      socket
        .off('data', onData)
        .off('end', onClose)
        .off('close', onClose)
        .off('error', onError)
        .off('drain', onDrain);
    };
  }

  #failed(error: NodeJS.ErrnoException): void {
    this.#events.broken(`${this.#name}: ${error.code ?? error.message}`, true);
  }
}
