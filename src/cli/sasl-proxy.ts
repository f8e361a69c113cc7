import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { asDuration } from '../config/values.js';
import { StopgapError, messageOf } from '../kernel/errors.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { Trouble } from '../log/trouble.js';
import type { SaslLogin } from '../policy/sasl-proxy.js';
import { SaslProxy } from '../policy/sasl-proxy.js';
import { systemClock } from '../runtime/clock.js';
import type { ClientOption } from './client.js';
import { serverAndToken, withClient } from './client.js';
import type { CliIo } from './io.js';
import { note } from './io.js';

/** How long a login waits for the verdict; Postfix waits ten seconds for all. */
const PATIENCE: Milliseconds = SECOND;
/** The first descriptor that systemd passes on (sd_listen_fds). */
const FIRST_FD = 3;

interface ProxyOption extends ClientOption {
  readonly listen?: string;
  readonly auth: string;
  readonly failureDelay: string;
}

/** `stopgap sasl-proxy`: runs until SIGTERM or SIGINT. */
export function saslProxyVerb(program: Command, io: CliIo): void {
  const proxy = program
    .command('sasl-proxy')
    .description("stand between a mail server and Dovecot's authentication socket");
  withClient(proxy)
    .requiredOption('--auth <socket>', "Dovecot's own socket")
    .option('--listen <socket>', 'the socket for the mail server, if systemd passes none')
    .option('--failure-delay <duration>', "Dovecot's auth_failure_delay", duration, '2s')
    .action(async (options: ProxyOption) => {
      const { base, token } = await serverAndToken(io, options);
      const trouble = new Trouble(systemClock, {
        began: (reason) => note(io, `stopgap: blocked accounts log in: ${reason}`),
        over: (count) => note(io, `stopgap: verdicts are given again, after ${count} logins without one`),
      });
      const server = new SaslProxy({
        listen: listenOf(io, options),
        auth: options.auth,
        failureDelay: asDuration(options.failureDelay, io.cwd),
        clock: systemClock,
        isBlocked: (login) =>
          isBlocked(new URL('dovecot/policy?command=allow', base), token, login).then(
            (answer) => {
              trouble.worked();
              return answer;
            },
            (error: unknown) => {
              // A login goes on by itself where no verdict can be had.
              trouble.failed(messageOf(error));
              return false;
            },
          ),
      });
      await server.listen();
      note(io, 'stopgap: the proxy is running');
      await new Promise<void>((resolve) => {
        for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
      });
      await server.close();
    });
}

function duration(text: string): string {
  try {
    asDuration(text, '');
    return text;
  } catch (error) {
    throw new InvalidArgumentError(messageOf(error));
  }
}

/** @throws StopgapError if neither is given */
function listenOf({ env }: CliIo, { listen }: ProxyOption): { fd: number } | { path: string } {
  if (listen !== undefined) return { path: listen };
  if (env['LISTEN_PID'] === String(process.pid) && env['LISTEN_FDS'] === '1') return { fd: FIRST_FD };
  throw new StopgapError('invalid-input', 'systemd passed no socket: name one with --listen');
}

async function isBlocked(url: URL, token: string, login: SaslLogin): Promise<boolean> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ ...login, success: true }),
    redirect: 'error',
    signal: AbortSignal.timeout(PATIENCE),
  });
  const { status, detail } = (await response.json()) as { status?: unknown; detail?: unknown };
  if (!response.ok) throw new Error(`Stopgap answers ${response.status}: ${String(detail)}`);
  return status === -1;
}
