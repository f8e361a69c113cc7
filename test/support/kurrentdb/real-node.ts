import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

/** `docker kill --signal {signal} {name}`, where the process that the command starts is not the server itself. */
const SIGNAL = process.env['STOPGAP_TEST_KURRENTDB_SIGNAL'] ?? '';

/** A node of a real KurrentDB, started by a command of the environment. It ends with this process. */
export class RealNode {
  readonly #dir: string;
  readonly #values: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly command: string,
    readonly port: number,
    dir: string,
    values: Readonly<Record<string, string>> = {},
  ) {
    if (command.includes('{name}') && SIGNAL === '')
      throw new Error('a command with {name} needs STOPGAP_TEST_KURRENTDB_SIGNAL: see HACKING.md');
    this.#dir = dir;
    this.#values = {
      port: String(port),
      advertised: String(port),
      replication: String(port + 1000),
      data: path.join(dir, 'data'),
      log: path.join(dir, 'log'),
      name: `stopgap-test-${port}`,
      ...values,
    };
  }

  get data(): string {
    return this.#values['data']!;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async start(): Promise<void> {
    if (this.running) return;
    for (const folder of ['data', 'log']) await mkdir(this.#values[folder]!, { recursive: true });
    const output = openSync(path.join(this.#dir, 'output'), 'a');
    // A group of its own, which a signal reaches as a whole. Its third descriptor closes when this process ends.
    const guard = SIGNAL === '' ? 'kill -9 0' : this.#filled(SIGNAL, { signal: 'KILL' });
    const script = `(cat <&3; ${guard}) & exec ${this.#filled(this.command)}`;
    const child = spawn('sh', ['-c', script], { detached: true, stdio: ['ignore', output, output, 'pipe'] });
    closeSync(output);
    child.stdio[3]!.on('error', () => undefined);
    this.#child = child;
    this.#ended = once(child, 'exit');
    await once(child, 'spawn');
  }

  /** @throws Error with what it printed, where it has ended */
  assertRunning(): void {
    if (this.running) return;
    const printed = readFileSync(path.join(this.#dir, 'output'), 'utf8').slice(-3000);
    throw new Error(`KurrentDB ended with ${this.#child?.exitCode ?? this.#child?.signalCode}:\n${printed}`);
  }

  async kill(): Promise<void> {
    if (this.running) await this.#signal('KILL');
    await this.#ended;
  }

  freeze(): Promise<void> {
    return this.#signal('STOP');
  }

  thaw(): Promise<void> {
    return this.#signal('CONT');
  }

  async #signal(name: 'KILL' | 'STOP' | 'CONT'): Promise<void> {
    if (!this.running) return;
    if (SIGNAL === '') {
      process.kill(-this.#child!.pid!, `SIG${name}`);
      return;
    }
    const sent = spawn('sh', ['-c', this.#filled(SIGNAL, { signal: name })], { stdio: 'ignore' });
    const [code] = (await once(sent, 'exit')) as [number | null];
    if (code !== 0 && this.running) throw new Error(`${SIGNAL} ended with ${code}`);
  }

  #filled(template: string, more: Readonly<Record<string, string>> = {}): string {
    const values: Readonly<Record<string, string>> = { ...this.#values, ...more };
    return template.replaceAll(/\{(\w+)\}/g, (whole, name: string) => values[name] ?? whole);
  }
}
