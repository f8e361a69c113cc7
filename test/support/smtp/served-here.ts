import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import type { RunningApp } from '../../../src/app.js';
import { startApp } from '../../../src/app.js';
import { banner } from '../../../src/cli/serve.js';
import { loadConfig } from '../../../src/config.js';
import { logsOf } from '../../../src/log/logs.js';
import { systemClock } from '../../../src/runtime/clock.js';
import { ENVIRONMENT, Running } from './served.js';

/**
 * `stopgap serve` in this process, where a test is about what is asked of it and not about the process: one of its own loads
 * all of Stopgap first, for most of a second of the processor.
 */
export class ServedHere extends Running {
  private constructor(private readonly app: RunningApp) {
    super();
  }

  /** Starts it; it is stopped after the test, should it still be there. */
  static async start(
    t: Pick<TestContext, 'after'>,
    cwd: string,
    env: Readonly<Record<string, string>> = {},
  ): Promise<ServedHere> {
    const loaded = loadConfig({ env: { ...ENVIRONMENT, ...env }, cwd });
    const app = await startApp({
      loaded,
      clock: systemClock,
      logs: logsOf(pino({ level: 'silent' })),
      onFatal: (error) => assert.fail(String(error)),
    });
    const served = new ServedHere(app);
    served.stdout = banner(loaded, app);
    t.after(() => served.stop());
    return served;
  }

  #stopped: Promise<unknown> | undefined;

  async stop(): Promise<void> {
    await (this.#stopped ??= this.app.stop());
  }
}
