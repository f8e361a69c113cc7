import { KurrentDBClient } from '@kurrent/kurrentdb-client';
import { messageOf } from '../../kernel/errors.js';
import type { Milliseconds } from '../../kernel/time.js';
import { StoreRefused } from '../port.js';

/** Schemes that are read as they are in KurrentDB's own documents, and the former names of the same. */
const SCHEME = /^(kurrentdb|esdb)(\+discover)?:\/\//;

/**
 * A client costs some milliseconds, and its reads are half a second in the making (and dead for good where they found
 * nobody then). So it is replaced no sooner than after this.
 */
const SETTLING: Milliseconds = 1000;

/**
 * Holds the client, and replaces it where it can no longer be trusted: it never drops a request that is not
 * answered, and keeps for ever the failure of its first question to a server.
 */
export class Connection {
  private readonly url: string;
  private current: KurrentDBClient;
  private since = performance.now();

  /**
   * @param cuts whether what is still under way on a client that is replaced ends with it
   * @throws StoreRefused where the URL is none that the client understands
   */
  constructor(
    url: string,
    private readonly cuts: boolean,
  ) {
    if (!SCHEME.test(url)) {
      throw new StoreRefused(
        `a KurrentDB store is kurrentdb://, kurrentdb+discover:// or esdb://, not ${redacted(url)}`,
      );
    }
    // The client warns about the former name on the console.
    this.url = url.replace(/^esdb/, 'kurrentdb');
    try {
      this.current = KurrentDBClient.connectionString(this.url);
    } catch (error) {
      throw new StoreRefused(`the KurrentDB URL ${redacted(url)} cannot be used: ${firstLine(error)}`);
    }
  }

  get client(): KurrentDBClient {
    return this.current;
  }

  /** Takes a new client where `failed` is still the one in use, and has had its time. */
  renew(failed: KurrentDBClient): void {
    if (failed !== this.current || performance.now() - this.since < SETTLING) return;
    this.since = performance.now();
    this.current = KurrentDBClient.connectionString(this.url);
    if (this.cuts) this.dispose(failed);
  }

  close(): void {
    this.dispose(this.current);
  }

  private dispose(client: KurrentDBClient): void {
    // Settles only when the last stream has; nothing depends on that.
    void client.dispose().catch(() => undefined);
  }
}

/** Without user and password. */
export function redacted(url: string): string {
  return url.replace(/\/\/[^@/?]*@/, '//…@');
}

/** The client's parser draws the whole URL, password and all, below its first line. */
function firstLine(error: unknown): string {
  return redacted(messageOf(error).split('\n')[0]!);
}
