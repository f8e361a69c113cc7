import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Command, ServerArguments } from './control.js';

const PROGRAM = fileURLToPath(new URL('./server.js', import.meta.url));

/** The stand-in's process, seen from the test that drives it. */
export class StandIn {
  private readonly process: ChildProcess;
  private readonly ended: Promise<unknown>;
  private readonly answers: ((line: Record<string, unknown>) => void)[] = [];
  private errors = '';
  port = 0;

  private constructor(private readonly args: ServerArguments) {
    this.process = spawn(process.execPath, [PROGRAM, JSON.stringify(args)], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.process.stderr!.on('data', (chunk: Buffer) => (this.errors += chunk.toString()));
    // A command to a process that has just been killed fails by the process's end.
    this.process.stdin!.on('error', () => undefined);
    this.ended = once(this.process, 'close');
    createInterface({ input: this.process.stdout! }).on('line', (line) =>
      this.answers.shift()?.(JSON.parse(line) as Record<string, unknown>),
    );
  }

  static async start(args: Partial<ServerArguments> = {}): Promise<StandIn> {
    const standIn = new StandIn({ port: 0, ...args });
    const { port } = await standIn.answer();
    standIn.port = port as number;
    return standIn;
  }

  get url(): string {
    return `kurrentdb://127.0.0.1:${this.port}?tls=${this.args.tls ? 'true' : 'false'}`;
  }

  /** Resolves when it has been carried out. */
  async tell(command: Command): Promise<void> {
    const answer = this.answer();
    this.process.stdin!.write(`${JSON.stringify(command)}\n`);
    await answer;
  }

  /** As by the system, without any warning to anybody. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
  }

  /** It goes on listening, and does nothing. */
  freeze(): void {
    this.process.kill('SIGSTOP');
  }

  thaw(): void {
    this.process.kill('SIGCONT');
  }

  /** A new process at the same port, with the same file. */
  again(): Promise<StandIn> {
    return StandIn.start({ ...this.args, port: this.port });
  }

  private answer(): Promise<Record<string, unknown>> {
    const line = new Promise<Record<string, unknown>>((resolve) => this.answers.push(resolve));
    const tooSoon = this.ended.then(() => {
      throw new Error(`the stand-in ended: ${this.errors}`);
    });
    tooSoon.catch(() => undefined);
    return Promise.race([line, tooSoon]);
  }
}
