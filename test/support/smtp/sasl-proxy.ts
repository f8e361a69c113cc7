import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { PROGRAM } from '../program.js';

/** Listens, becomes the program, and leaves it the socket as descriptor 3. */
const PASS_SOCKET = `
  use IO::Socket::UNIX; use POSIX;
  $^F = 9;
  my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => shift, Listen => 64) or die;
  POSIX::dup2(fileno($socket), 3);
  @ENV{'LISTEN_PID', 'LISTEN_FDS'} = ($$, 1);
  exec @ARGV;
`;

export interface ProxyProcess {
  readonly child: ChildProcess;
  /** What it has said on standard error. */
  said(): string;
  kill(): Promise<void>;
}

/**
 * `stopgap sasl-proxy` as a process of its own; resolves when it listens.
 *
 * @param passed the path of a socket that listens before it starts, and is passed to it as systemd does that
 */
export async function startSaslProxy(
  t: Pick<TestContext, 'after'>,
  args: readonly string[],
  token: string,
  passed?: string,
): Promise<ProxyProcess> {
  const program = [process.execPath, PROGRAM, 'sasl-proxy', ...args];
  const whole = passed === undefined ? program : ['perl', '-e', PASS_SOCKET, passed, ...program];
  const child = spawn(whole[0]!, whole.slice(1), {
    env: { PATH: process.env['PATH'], STOPGAP_TOKEN: token },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'exit');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  t.after(kill);
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('the proxy is running')) resolve();
    });
    void ended.then(() => reject(new Error(`it ended: ${said}`)));
  });
  return { child, kill, said: () => said };
}
