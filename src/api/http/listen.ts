import http from 'node:http';
import type { RequestListener } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ListenAddress } from '../../config/listening.js';
import { MINUTE, SECOND } from '../../kernel/time.js';
import type { Trouble } from '../../log/trouble.js';
import { listenOptions } from '../../runtime/listening.js';
import { Problem, problemBody } from './problem.js';

/** A request must arrive within this time, so that a slow sender cannot hold a connection. */
const REQUEST_TIMEOUT = 30 * SECOND;
const HEADERS_TIMEOUT = 10 * SECOND;
/** How often Node looks for requests that are late. */
const LOOK_INTERVAL = 2 * SECOND;
/** Above the idle time-out of common reverse proxies, so that the proxy closes first. */
const KEEP_ALIVE_TIMEOUT = 75 * SECOND;
/** A client that takes nothing of its answer for so long is gone. Feeds write more often. */
const UNREAD_TIMEOUT = 2 * MINUTE;
const MOST_CONNECTIONS = 1000;
/** So many more are taken while none can be cut. */
const BEYOND = 100;
/** How long requests under way may still take when the server closes. */
const GRACE = 3 * SECOND;

export interface Listener {
  readonly server: http.Server;
  /** Takes no connection any more; resolves when the requests under way are answered and all is closed. */
  close(): Promise<void>;
}

/**
 * Binds; rejects if it cannot.
 *
 * @param onError told of each connection that could not be taken
 * @param room told of each connection that finds no room, or some
 * @param most connections at a time
 */
export async function listen(
  handler: RequestListener,
  address: ListenAddress,
  onError: (error: Error) => void,
  room: Pick<Trouble, 'failed' | 'worked'>,
  most = MOST_CONNECTIONS,
): Promise<Listener> {
  const server = http.createServer(
    {
      requestTimeout: REQUEST_TIMEOUT,
      headersTimeout: HEADERS_TIMEOUT,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT,
      connectionsCheckingInterval: LOOK_INTERVAL,
    },
    oneAtATime(handler),
  );
  server.timeout = UNREAD_TIMEOUT;
  server.maxConnections = most + BEYOND;
  server.on('clientError', answerUnreadable);
  makeRoom(server, room, most);
  let underWay = 0;
  // Node counts a connection without any request as busy, so requests are counted here.
  const closeWhenDone = (): void => {
    if (underWay === 0 && !server.listening) server.closeAllConnections();
  };
  server.on('request', (_, response: http.ServerResponse) => {
    underWay++;
    response.once('close', () => {
      underWay--;
      closeWhenDone();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...listenOptions(address), exclusive: true }, () => {
      server.off('error', reject).on('error', onError);
      resolve();
    });
  });
  return {
    server,
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      closeWhenDone();
      const timer = setTimeout(() => server.closeAllConnections(), GRACE);
      await closed;
      clearTimeout(timer);
    },
  };
}

/**
 * Cuts connections where there are too many. Otherwise one client could keep all others out, mail servers that ask among them.
 * The first to go has had no whole request under way for longest; the next are those whose answers nobody reads.
 */
function makeRoom(server: http.Server, room: Pick<Trouble, 'failed' | 'worked'>, most: number): void {
  const idle = new Set<Socket>();
  const busy = new Set<Socket>();
  const unread = (): Socket | undefined => [...busy].find(({ writableLength }) => writableLength > 0);
  server.on('drop', () => room.failed('more are open, and none can be cut: they are refused'));
  server.on('connection', (socket) => {
    if (idle.size + busy.size < most) room.worked();
    else {
      const [least = unread()] = idle;
      room.failed(`${idle.size + busy.size} are open`);
      if (least !== undefined) {
        idle.delete(least);
        busy.delete(least);
        least.destroy();
      }
    }
    idle.add(socket);
    socket.once('close', () => {
      idle.delete(socket);
      busy.delete(socket);
    });
  });
  server.on('request', (request, response: http.ServerResponse) => {
    const { socket } = request;
    let isOver = false;
    const begins = (): void => {
      // Of a request that is answered before all of its body is there, the rest comes later.
      if (!isOver && idle.delete(socket)) busy.add(socket);
    };
    const hasBody = request.headers['transfer-encoding'] !== undefined;
    if (hasBody || Number(request.headers['content-length'] ?? 0) > 0) request.once('end', begins);
    else begins();
    response.once('close', () => {
      isOver = true;
      if (!busy.delete(socket) && !idle.delete(socket)) return;
      // It has been idle since now.
      if (!socket.destroyed) idle.add(socket);
    });
  });
}

/**
 * Cuts a connection off on which a request comes before the last one is answered (RFC 9112, 9.3.2). Node takes in all that
 * come in one piece, however many they are, and keeps the answers until they are read: some thousand would take all the memory.
 */
function oneAtATime(handler: RequestListener): RequestListener {
  const busy = new WeakSet<Duplex>();
  return (request, response) => {
    const { socket } = request;
    if (busy.has(socket)) socket.destroy();
    if (socket.destroyed) return;
    busy.add(socket);
    response.once('close', () => busy.delete(socket));
    handler(request, response);
  };
}

const UNREADABLE: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'the headers are larger than 16 KiB'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request did not arrive in time'],
};

/** Express never sees what is not HTTP. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, message] = UNREADABLE[error.code ?? ''] ?? [400, 'this is no HTTP request'];
  const body = JSON.stringify(problemBody(new Problem(status, message), 'about:blank'));
  const head = [
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}`,
    'Content-Type: application/problem+json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  // Destroyed once the answer is sent: otherwise a client that does not close its side would keep the connection.
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
