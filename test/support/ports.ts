import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/*
 * Between its choice and its use a port is free for anybody. Systems give out ports from 32768 on by themselves, for each
 * listener on port 0 and each connection, and tests make thousands: one that is chosen there may be taken a moment later.
 * The port 1,000 above is below that too.
 */
const LOWEST = 10_000;
const HIGHEST = 31_000;

/** Those that were chosen by chance: none is given twice, as long as the process is. */
const given = new Set<number>();

/** A port of loopback that nobody listens on at the moment; the one asked for, else EADDRINUSE. */
export async function freePort(wanted?: number): Promise<number> {
  for (;;) {
    const port = wanted ?? randomInt(LOWEST, HIGHEST);
    if (wanted === undefined && given.has(port)) continue;
    const server = createServer().listen(port, '127.0.0.1');
    const free = await once(server, 'listening').then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EADDRINUSE' || wanted !== undefined) throw error;
        return false;
      },
    );
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    given.add(port);
    return port;
  }
}

/** Several such ports. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await freePort());
  return ports;
}
