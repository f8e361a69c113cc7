import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';

/** A port of loopback that nobody listens on at the moment; the one asked for, else EADDRINUSE. */
export async function freePort(wanted = 0): Promise<number> {
  const [port] = await freePorts(1, wanted);
  return port!;
}

/** Several such ports, all different. */
export async function freePorts(count: number, wanted = 0): Promise<readonly number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(wanted, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
