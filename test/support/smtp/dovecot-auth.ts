import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import net from 'node:net';
import type { TestContext } from 'node:test';

const GREETING = [
  'VERSION\t1\t2',
  'MECH\tPLAIN\tplaintext',
  'SPID\t1',
  'CUID\t1',
  `COOKIE\t${'0'.repeat(32)}`,
  'DONE',
];

/**
 * As much of Dovecot's auth service as Postfix needs: every account of the list logs in with its password by PLAIN.
 *
 * @returns its port on loopback
 */
export async function dovecotAuth(
  t: Pick<TestContext, 'after'>,
  passwords: Readonly<Record<string, string>>,
): Promise<number> {
  const sockets = new Set<Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
    const say = (line: string): void => void socket.write(`${line}\n`);
    GREETING.forEach(say);
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      const lines = (text + chunk.toString('latin1')).split('\n');
      text = lines.pop()!;
      for (const line of lines) answer(line, say, passwords);
    });
  });
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function answer(
  line: string,
  say: (line: string) => void,
  passwords: Readonly<Record<string, string>>,
): void {
  const [command, id = '', ...rest] = line.split('\t');
  if (command !== 'AUTH' && command !== 'CONT') return;
  const response = command === 'CONT' ? rest[0] : rest.find((each) => each.startsWith('resp='))?.slice(5);
  if (response === undefined) return say(`CONT\t${id}\t`);
  const [, user = '', password] = Buffer.from(response, 'base64').toString().split('\0');
  if (passwords[user] !== undefined && passwords[user] === password) say(`OK\t${id}\tuser=${user}`);
  else say(`FAIL\t${id}\tuser=${user}`);
}
