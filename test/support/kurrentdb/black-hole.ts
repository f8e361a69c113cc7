import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

const LISTEN = `
const server = require('node:net').createServer();
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port));
`;

/** Connections that the system takes for a process that does not, with a backlog of one. */
const FILLING = 2;

/** An address that answers no attempt to connect, like a host with a cut cable. */
export class BlackHole {
  private constructor(
    readonly port: number,
    private readonly process: ChildProcess,
    private readonly filling: readonly net.Socket[],
  ) {}

  static async open(): Promise<BlackHole> {
    const child = spawn(process.execPath, ['-e', LISTEN], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const port = Number(line.toString());
    // What listens and takes nothing has a queue: once that is full the system drops new connections.
    child.kill('SIGSTOP');
    const filling = Array.from({ length: FILLING }, () => net.connect(port, '127.0.0.1'));
    await Promise.all(filling.map((socket) => once(socket, 'connect')));
    for (const socket of filling) socket.on('error', () => undefined);
    return new BlackHole(port, child, filling);
  }

  close(): void {
    for (const socket of this.filling) socket.destroy();
    this.process.kill('SIGKILL');
  }
}
