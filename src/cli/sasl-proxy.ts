import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { StopgapError } from '../kernel/errors.js';
import { printable } from '../kernel/printable.js';
import type { Milliseconds } from '../kernel/time.js';
import { MINUTE, parseDuration, SECOND } from '../kernel/time.js';
import { Trouble } from '../log/trouble.js';
import type { SaslLogin } from '../policy/sasl-proxy.js';
import { SaslProxy } from '../policy/sasl-proxy.js';
import { systemClock } from '../runtime/clock.js';
import type { ClientOption } from './client.js';
import { causeOf, serverAndToken, withClient } from './client.js';
import type { CliIo } from './io.js';
import { note } from './io.js';

/** How long a login waits for the verdict; Postfix waits ten seconds for all. */
const PATIENCE: Milliseconds = SECOND;
/** Reasons that are told of one trouble: what an answer says may differ each time. */
const MOST_REASONS = 8;
/** The first descriptor that systemd passes on (sd_listen_fds). */
const FIRST_FD = 3;

interface ProxyOption extends ClientOption {
  readonly listen?: string;
  readonly auth: string;
  readonly failureDelay: Milliseconds;
}

/** `stopgap sasl-proxy`: runs until SIGTERM or SIGINT. */
export function saslProxyVerb(program: Command, io: CliIo): void {
  const proxy = program
    .command('sasl-proxy')
    .description("stand between a mail server and Dovecot's authentication socket");
  withClient(proxy)
    .requiredOption('--auth <socket>', "Dovecot's own socket")
    .option('--listen <socket>', 'the socket for the mail server, if systemd passes none')
    .addOption(
      new Option('--failure-delay <duration>', "Dovecot's auth_failure_delay")
        .argParser(failureDelay)
        .default(2 * SECOND, '2s'),
    )
    .action(async (options: ProxyOption) => {
      const { base, token } = await serverAndToken(io, options);
      const told = new Set<string>();
      const tell = (reason: string): void => {
        if (told.has(reason) || told.size >= MOST_REASONS) return;
        told.add(reason);
        note(io, `stopgap: blocked accounts log in: ${reason}`);
      };
      const trouble = new Trouble(systemClock, {
        began: tell,
        over(count) {
          told.clear();
          note(io, `stopgap: verdicts are given again, after ${count} logins without one`);
        },
      });
      const server = new SaslProxy({
        listen: listenOf(io, options),
        auth: options.auth,
        failureDelay: options.failureDelay,
        clock: systemClock,
        isBlocked: (login) =>
          isBlocked(new URL('dovecot/policy?command=allow', base), token, login).then(
            (answer) => {
              trouble.worked();
              return answer;
            },
            (error: unknown) => {
              // A login goes on by itself where no verdict can be had.
              const reason = printable(reasonOf(error, base));
              trouble.failed(reason);
              // It may be another one by now, with another remedy.
              tell(reason);
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

/** What a client waits for longer tells it that it is no wrong password. */
const LONGEST_DELAY: Milliseconds = MINUTE;

function failureDelay(text: string): Milliseconds {
  const delay = /^0+s?$/.test(text) ? 0 : parseDuration(text);
  if (delay === undefined || delay > LONGEST_DELAY)
    throw new InvalidArgumentError(
      `"${text}" is no delay of failures; use 0s to 60s, as auth_failure_delay of Dovecot has it`,
    );
  return delay;
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
  if (!response.ok) throw await refusalOf(response);
  const { status } = (await response.json()) as { status?: unknown };
  return status === -1;
}

async function refusalOf(response: Response): Promise<StopgapError> {
  const { status } = response;
  const { detail } = (await response.json().catch(() => ({}))) as { readonly detail?: unknown };
  const said = typeof detail === 'string' ? `: ${detail.slice(0, 200)}` : '';
  return new StopgapError('unavailable', `Stopgap answers ${status}${said}; ${remedyOf(status)}`);
}

function remedyOf(status: number): string {
  if (status === 401 || status === 403)
    return 'give the proxy a token of the role server (stopgap token add), and start it anew';
  if (status === 404) return 'let --url name a process with the role api or policy';
  return 'its log says more';
}

function reasonOf(error: unknown, base: URL): string {
  if (error instanceof StopgapError) return error.message;
  return `${base.href} gives no verdict (${causeOf(error, PATIENCE)}); see there that Stopgap runs and is not overloaded: stopgap doctor`;
}
