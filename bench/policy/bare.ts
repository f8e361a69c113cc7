import net from 'node:net';
import type { AddressInfo } from 'node:net';

/*
 * What the policy service is measured against: Node's sockets, the same protocol, and one count for each sender in a Map.
 * It records nothing and judges nobody. Prints its port.
 */
const counts = new Map<string, number>();
const server = net.createServer({ noDelay: true }, (socket) => {
  let text = '';
  socket.setEncoding('latin1');
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: string) => {
    text += chunk;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const request = new Map(
        text
          .slice(0, end)
          .split('\n')
          .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const),
      );
      text = text.slice(end + 2);
      const sender = request.get('sasl_username') ?? '';
      counts.set(sender, (counts.get(sender) ?? 0) + 1);
      socket.write('action=DUNNO\n\n');
    }
  });
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
process.once('SIGTERM', () => process.exit());
