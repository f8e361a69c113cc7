import type { ListenOptions } from 'node:net';
import { StopgapError } from '../kernel/errors.js';

/** The first descriptor that systemd passes (sd_listen_fds). */
const FIRST_FD = 3;

/** What `server.listen` of Node.js takes. */
export type HowToListen = ListenOptions & { readonly fd?: number };

interface Where {
  readonly host: string | undefined;
  readonly port: number;
  /** The name of a socket that systemd passes. */
  readonly passed?: string;
}

/**
 * How to listen: at an address, or on a socket that systemd has opened.
 *
 * @throws StopgapError if it passes no socket of that name, or several
 */
export function listenOptions({ host, port, passed }: Where, env = process.env): HowToListen {
  // Without a host Node.js listens on all interfaces, also where there is no IPv6.
  if (passed === undefined) return host === undefined ? { port } : { host, port };
  const isForUs = env['LISTEN_PID'] === String(process.pid);
  const names = isForUs ? (env['LISTEN_FDNAMES'] ?? '').split(':').slice(0, Number(env['LISTEN_FDS'])) : [];
  const [first, second] = [names.indexOf(passed), names.lastIndexOf(passed)];
  if (first < 0)
    throw new StopgapError(
      'invalid-input',
      `systemd:${passed}: systemd passes no socket of that name: write FileDescriptorName=${passed} into its .socket unit, and start that first`,
    );
  if (first !== second)
    throw new StopgapError(
      'invalid-input',
      `systemd:${passed}: systemd passes several sockets of that name: give each a .socket unit and a name of its own`,
    );
  return { fd: FIRST_FD + first };
}
