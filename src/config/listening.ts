import { StopgapError } from '../kernel/errors.js';
import { isLoopback } from '../sending/identity.js';

/** Where a server listens. Without a host on all interfaces. Port 0 takes any free port. */
export interface ListenAddress {
  readonly host: string | undefined;
  readonly port: number;
  /** The name of a socket that systemd passes, instead of host and port. */
  readonly passed?: string;
}

/** Where mail servers ask: an address, or the absolute path of a UNIX socket. */
export type PolicyAddress = ListenAddress | { readonly path: string };

export function isLocalHost(host: string): boolean {
  return host === 'localhost' || isLoopback(host);
}

/** `127.0.0.1:2587`, `[::1]:2587`, `*:2587`, `systemd:submission`. */
export function formatListen(address: ListenAddress): string {
  const { host = '*', port, passed } = address;
  if (passed !== undefined) return `systemd:${passed}`;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `127.0.0.1:10040`, `unix:/run/stopgap/policy`. */
export function formatPolicyListen(address: PolicyAddress): string {
  return 'path' in address ? `unix:${address.path}` : formatListen(address);
}

/** Why a listener could not be opened: the setting that names it, and what to do about it. */
export function listenFault(thrown: unknown, setting: string, address: PolicyAddress): unknown {
  const { code } = thrown as NodeJS.ErrnoException;
  const why = ('path' in address ? SOCKET_FAULTS : LISTEN_FAULTS)[code ?? ''];
  if (why === undefined) return thrown;
  return new StopgapError('invalid-input', `${setting}: ${formatPolicyListen(address)} ${why}`);
}

const LISTEN_FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is taken by another process (is Stopgap running already?): stop that, or name another port',
  EADDRNOTAVAIL: 'is no address of this machine: name one of its own, or a port alone',
  ENOTFOUND: 'is a name that nobody knows: name an address of this machine, or a port alone',
  EAI_AGAIN: 'is a name that no name server answers for: name an address of this machine, or a port alone',
  EACCES: 'is not for this user: ports below 1024 need CAP_NET_BIND_SERVICE; give it, or name another port',
};

const SOCKET_FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is taken by another process, or is no socket: stop that process, or name another path',
  ENOENT: 'is in a folder that does not exist: make the folder, or name another path',
  EACCES: 'cannot be made by this user: give it the folder, or name another path',
  // The disk is seldom to blame: ProtectSystem=strict shows the service everything so.
  EROFS:
    'is where the service may write nothing: name its folder in ReadWritePaths= of the unit (systemctl edit stopgap), or name unix:/run/stopgap/policy',
};

/** Whether a listener can be reached from this machine alone. */
export function listensOnLoopback(address: ListenAddress): boolean {
  return address.host !== undefined && isLocalHost(address.host);
}
