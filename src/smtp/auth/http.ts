import { normalizeAccount } from '../../sending/identity.js';
import type { RemoteOptions } from './bounded-checks.js';
import { BoundedChecks, FAILS_AFTER, possibleAccount, REMEMBERED } from './bounded-checks.js';
import type { AuthBackend, Login, LoginClient } from './port.js';

export interface HttpBackendOptions extends RemoteOptions {
  readonly url: string;
  /** What is shown to it as a bearer token. */
  readonly token: string | undefined;
}

interface Verdict {
  readonly ok: boolean;
  /** Whose login it is, by the one name that counts. */
  readonly account?: string;
}

const AT_ONCE = 50;
/** Bytes of an answer that are read: `{"ok":true}` needs few. */
const LONGEST_ANSWER = 4096;
const ASCII = /^[ -~]*$/;

/**
 * A web service as back end. It gets `{account, password, ip}` by POST. Right is 200 with `{"ok":true}`, and `"account"` where the login
 * may have other spellings. Wrong is 401, 403 or 200 with `{"ok":false}`, and right for an account that is not known. All else is no answer.
 */
export class HttpBackend implements AuthBackend {
  readonly memory = REMEMBERED;
  readonly failsAfter = FAILS_AFTER;
  readonly #url: string;
  readonly #token: string | undefined;
  readonly #checks: BoundedChecks;

  constructor(options: HttpBackendOptions) {
    this.#url = options.url;
    this.#token = options.token;
    this.#checks = new BoundedChecks(options, new URL(options.url).host, AT_ONCE);
  }

  get pending(): number {
    return this.#checks.pending;
  }

  get isAway(): boolean {
    return this.#checks.isAway;
  }

  check({ name, password, client }: Login, begins?: () => void): Promise<string | undefined> {
    const ask = async (signal: AbortSignal): Promise<string | undefined> => {
      const body = JSON.stringify({ account: name, password, ip: client.ip });
      const { ok, account } = await this.#ask(body, signal);
      if (!ok) return undefined;
      // Databases take letters with and without accents for the same: one user would have any number of names, each unblocked.
      if (account === undefined && !ASCII.test(name))
        return this.#checks.unusable('it names no "account" for a login beyond ASCII');
      const own = account === undefined ? normalizeAccount(name) : possibleAccount(account);
      return own ?? this.#checks.unusable('it names an account that cannot be one');
    };
    return this.#checks.run(client.network, ask, begins);
  }

  dependsOn(_name: string, client: LoginClient): string {
    return client.ip;
  }

  /** A login without a name: whatever is said of it, the service answers. */
  probe(): Promise<{ ok: boolean; detail: string }> {
    const body = JSON.stringify({ account: '', password: '', ip: '127.0.0.1' });
    return this.#checks.probe((signal) => this.#ask(body, signal));
  }

  close(): void {
    // Nothing is open but the requests of logins under way, which have a deadline.
  }

  /** What the service says. No error repeats what was sent. */
  async #ask(body: string, signal: AbortSignal): Promise<Verdict> {
    const answer = await fetch(this.#url, {
      method: 'POST',
      body,
      signal,
      redirect: 'manual' as const,
      headers: {
        'content-type': 'application/json',
        ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
      },
    }).catch((error: unknown) => {
      const { name, cause } = error as Error & { readonly cause?: { readonly code?: string } };
      throw new Error(`${this.#checks.name} does not answer (${cause?.code ?? name})`);
    });
    const text = await beginningOf(answer);
    const verdict = answer.status === 200 ? verdictOf(text) : undefined;
    if (verdict !== undefined) return verdict;
    if (answer.status === 401 || answer.status === 403) return { ok: false };
    throw new Error(
      `${this.#checks.name} answers ${answer.status}${answer.status === 200 ? ' without {"ok":true}' : ''}`,
    );
  }
}

async function beginningOf(answer: Response): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of answer.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > LONGEST_ANSWER) break;
  }
  return text;
}

function verdictOf(text: string): Verdict | undefined {
  try {
    const { ok, account } = (JSON.parse(text) ?? {}) as { readonly [Each in keyof Verdict]?: unknown };
    if (typeof ok !== 'boolean') return undefined;
    return typeof account === 'string' ? { ok, account } : { ok };
  } catch {
    return undefined; // JSON.parse has no other way to say "not JSON"
  }
}
