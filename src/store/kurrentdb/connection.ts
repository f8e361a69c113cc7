import type { KurrentDBClient } from '@kurrent/kurrentdb-client';
import type { Milliseconds } from '../../kernel/time.js';
import type { Nodes } from './nodes.js';

/**
 * A client costs some milliseconds, and its reads are dead for good where they found nobody. So it is replaced, and no
 * sooner than after this.
 */
const SETTLING: Milliseconds = 1000;

/**
 * Holds the client, and replaces it where it can no longer be trusted: it never drops a request that is not
 * answered, and keeps for ever the failure of its first question to a server.
 */
export class Connection {
  private current: KurrentDBClient;
  private since = performance.now();
  private renewing: Promise<void> | undefined;
  private closed = false;
  private readonly watching = new Set<() => void>();

  /**
   * @param node where the first client begins
   * @param cuts whether what is still under way on a client that is replaced ends with it
   */
  constructor(
    private readonly nodes: Nodes,
    private node: string,
    private readonly cuts: boolean,
  ) {
    this.current = nodes.client(node);
  }

  get client(): KurrentDBClient {
    return this.current;
  }

  /** Takes a new client where `failed` is still the one in use, and has had its time; soon, for it looks who answers. */
  renew(failed: KurrentDBClient): void {
    if (failed !== this.current || this.renewing || performance.now() - this.since < SETTLING) return;
    this.renewing = this.replace(failed).finally(() => (this.renewing = undefined));
  }

  /** Calls back when the client of now has been replaced, until the result is called. */
  onReplaced(callback: () => void): () => void {
    this.watching.add(callback);
    return () => this.watching.delete(callback);
  }

  /** Resolves when no client is being replaced. */
  async settled(): Promise<void> {
    await this.renewing;
  }

  close(): void {
    this.closed = true;
    this.dispose(this.current);
  }

  private async replace(failed: KurrentDBClient): Promise<void> {
    const node = await this.nodes.answering(this.node);
    if (this.closed) return;
    this.node = node;
    this.since = performance.now();
    this.current = this.nodes.client(node);
    if (this.cuts) this.dispose(failed);
    for (const callback of this.watching) callback();
    this.watching.clear();
  }

  private dispose(client: KurrentDBClient): void {
    // Settles only when the last stream has; nothing depends on that.
    void client.dispose().catch(() => undefined);
  }
}
