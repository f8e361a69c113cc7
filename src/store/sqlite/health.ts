import type { Milliseconds } from '../../kernel/time.js';

/** How often a store that failed is tried again: nobody may dare to append while it is not healthy. */
const PROBE_PAUSE: Milliseconds = 1000;

/** Whether appends go through: not once one has failed, until another, or a probe where none is made, has. */
export class Health {
  private failed = false;
  private probing: NodeJS.Timeout | undefined;
  private closed = false;

  /** @param probe rejects where the store does not work */
  constructor(private readonly probe: () => Promise<unknown>) {}

  get good(): boolean {
    return !this.failed;
  }

  recover(): void {
    this.failed = false;
  }

  fail(): void {
    this.failed = true;
    if (this.closed) return;
    this.probing ??= setTimeout(() => {
      this.probing = undefined;
      if (!this.failed) return;
      this.probe().then(
        () => this.recover(),
        () => this.fail(),
      );
    }, PROBE_PAUSE).unref();
  }

  /** Probes no more. */
  close(): void {
    this.closed = true;
    clearTimeout(this.probing);
  }
}
