import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Command } from 'commander';
import { directoryId, fileFault, readIfThere } from '../accounts/private-file.js';
import type { Answer, Given, Method, Operation, PathWith, QueryOf, Schemas } from '../api/openapi-calls.js';
import type { Config } from '../config.js';
import type { ListenAddress } from '../config/listening.js';
import { formatListen } from '../config/listening.js';
import { ERROR_CODES, InvalidInput, StopgapError } from '../kernel/errors.js';
import type { ErrorCode } from '../kernel/errors.js';
import { SECOND } from '../kernel/time.js';
import { newId } from '../runtime/ids.js';
import type { ConfigOption } from './options.js';
import { configForFiles, withConfig } from './options.js';
import type { CliIo } from './io.js';

/** How long a server may take to answer. */
const PATIENCE = 30 * SECOND;

export interface ClientOption extends ConfigOption {
  readonly url?: string;
  readonly tokenFile?: string;
}

/** Adds `--url`, `--token-file` and `--config` to a command. */
export function withClient(command: Command): Command {
  return withConfig(command)
    .option('--url <url>', 'the server (default: STOPGAP_URL, or api.listen of the configuration)')
    .option('--token-file <file>', 'file with the token (default: STOPGAP_TOKEN, or the evaluation set-up)');
}

/** For commands that scripts call. */
export interface JsonOption extends ClientOption {
  readonly json?: true;
}

/** Adds the options of a client, and `--json`. */
export function withJson(command: Command): Command {
  return withClient(command).option('--json', 'as JSON');
}

/** The beginning of an id that may stand for it. All begin with the time, so that few letters could be of any, or only of one. */
export const PART_OF_ID = /^[0-9a-f]{8}[0-9a-f-]{0,28}$/i;

export type { AnswerOf, QueryOf, Schemas } from '../api/openapi-calls.js';

/** One request, when its types have been checked. */
interface Untyped {
  readonly params?: {
    readonly path?: Readonly<Record<string, string>>;
    readonly query?: Readonly<Record<string, unknown>>;
    readonly header?: Readonly<Record<string, string>>;
  };
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** What the server said was wrong. */
interface ProblemBody {
  readonly code?: unknown;
  readonly detail?: unknown;
  /** Of several items, what became of each. */
  readonly results?: unknown;
}

/** Talks to a running server's API. Its errors are made for a person at a terminal. */
export class ApiClient {
  readonly #base: URL;
  readonly #token: string;

  constructor(base: URL, token: string) {
    this.#base = base;
    this.#token = token;
  }

  /** What it shows to the server. */
  get token(): string {
    return this.#token;
  }

  /** @throws StopgapError with a hint; with the server's own words if it refuses */
  async ask<M extends Method, P extends PathWith<M>>(
    method: M,
    path: P,
    ...[asked]: Given<Operation<M, P>>
  ): Promise<Answer<Operation<M, P>>> {
    const { response, text } = await this.#ask(method, path, asked);
    const answer = parse(text, response, this.#base);
    if (response.ok) return answer as Answer<Operation<M, P>>;
    throw refusal(response.status, answer as ProblemBody, this.#base);
  }

  get<P extends PathWith<'get'>>(
    path: P,
    ...asked: Given<Operation<'get', P>>
  ): Promise<Answer<Operation<'get', P>>> {
    return this.ask('get', path, ...asked);
  }

  /** The same, of an answer that is no JSON. */
  async text<P extends PathWith<'get'>>(path: P, ...[asked]: Given<Operation<'get', P>>): Promise<string> {
    const { response, text } = await this.#ask('get', path, asked);
    if (response.ok && response.headers.get('content-type')?.startsWith('text/') === true) return text;
    throw refusal(response.status, parse(text, response, this.#base) as ProblemBody, this.#base);
  }

  /** The feed of events, as they come, until the server ends it. */
  async *events(query: QueryOf<'/api/v1/events'>): AsyncGenerator<Schemas['FeedEvent'], void> {
    const path: PathWith<'get'> = '/api/v1/events';
    const gone = new AbortController();
    const response = await this.#fetch('get', path, { params: { query }, signal: gone.signal }).catch(
      (thrown) => {
        throw this.#silent(thrown);
      },
    );
    if (!response.ok || response.body === null)
      throw refusal(
        response.status,
        parse(await response.text(), response, this.#base) as ProblemBody,
        this.#base,
      );
    if (response.headers.get('content-type')?.startsWith('text/event-stream') !== true)
      throw noStopgap(this.#base);
    const decoder = new TextDecoder();
    let rest = '';
    try {
      for await (const piece of response.body) {
        const lines = (rest + decoder.decode(piece as Uint8Array, { stream: true })).split('\n');
        rest = lines.pop()!;
        for (const line of lines)
          if (line.startsWith('data: ')) yield JSON.parse(line.slice(6)) as Schemas['FeedEvent'];
      }
    } catch (thrown) {
      throw this.#silent(thrown);
    } finally {
      gone.abort();
    }
  }

  async #ask(
    method: Method,
    path: string,
    asked: Untyped = {},
  ): Promise<{ readonly response: Response; readonly text: string }> {
    try {
      const response = await this.#fetch(method, path, { signal: AbortSignal.timeout(PATIENCE), ...asked });
      return { response, text: await response.text() };
    } catch (thrown) {
      throw this.#silent(thrown);
    }
  }

  async #fetch(method: Method, path: string, { params = {}, body, signal }: Untyped): Promise<Response> {
    const { path: names = {}, query = {}, header } = params;
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(names[name]!));
    const url = new URL(filled.slice(1), this.#base);
    // The document has texts alone in queries.
    for (const [name, value] of Object.entries(query as Readonly<Record<string, string | undefined>>))
      if (value !== undefined) url.searchParams.set(name, value);
    const response = await fetch(url, {
      method: method.toUpperCase(),
      headers: {
        authorization: `Bearer ${this.#token}`,
        // The list of changes tells by it what came from the command line.
        'x-request-id': `cli-${newId()}`,
        ...header,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      redirect: 'error',
      ...(signal === undefined ? {} : { signal }),
    });
    // Each answer of Stopgap has one. A proxy may have given another than ours.
    if (response.ok && !response.headers.has('x-request-id')) throw noStopgap(this.#base);
    return response;
  }

  #silent(thrown: unknown): StopgapError {
    if (thrown instanceof StopgapError) return thrown;
    return new StopgapError(
      'unavailable',
      `no answer from ${this.#base.origin} (${causeOf(thrown)}): is stopgap serve running there? --url or STOPGAP_URL names another server`,
    );
  }
}

/** Finds the server and the token. @throws StopgapError that says where to get a token; ConfigError */
export async function connect(io: CliIo, options: ClientOption): Promise<ApiClient> {
  const { base, token } = await serverAndToken(io, options);
  return new ApiClient(base, token);
}

/** The same, for what does not speak to the API. */
export async function serverAndToken(
  io: CliIo,
  options: ClientOption,
): Promise<{ readonly base: URL; readonly token: string }> {
  const url = options.url ?? given(io, 'STOPGAP_URL');
  const base = url === undefined ? undefined : parseUrl(url);
  const token =
    options.tokenFile === undefined
      ? given(io, 'STOPGAP_TOKEN')?.trim()
      : readTokenFile(path.resolve(io.cwd, options.tokenFile));
  if (base !== undefined && token !== undefined) return { base, token: checked(token) };
  const { config, evaluation } = await configForFiles(io, options);
  const known = token ?? (evaluation ? await demoToken(config.data) : undefined);
  if (known === undefined) {
    throw new StopgapError(
      'unauthorized',
      'no token: set STOPGAP_TOKEN or give --token-file; stopgap token add makes one',
    );
  }
  return { base: base ?? urlOf(config.api.listen), token: checked(known) };
}

/**
 * What is asked of the API, or undefined if no server answers, there is no token, or the server refuses.
 *
 * @param refused told which of these it was
 */
export async function askedIfThere<T>(
  io: CliIo,
  options: ClientOption,
  ask: (client: ApiClient) => Promise<T>,
  refused: (error: StopgapError) => void = () => undefined,
): Promise<T | undefined> {
  try {
    return await ask(await connect(io, options));
  } catch (thrown) {
    if (!(thrown instanceof StopgapError)) throw thrown;
    refused(thrown);
    return undefined;
  }
}

/** With If-Match: only while the thing is at this version. */
export const atVersion = (version: number | string): { readonly 'If-Match': string } => ({
  'If-Match': `"${version}"`,
});

/**
 * The configuration for a command that changes users or tokens. If none is named, a server that runs may have another:
 * what is then written into the working directory is read by nobody.
 *
 * @throws StopgapError `conflict` if a running server uses another data directory
 */
export async function configForChanges(io: CliIo, options: ConfigOption): Promise<Config> {
  const { config, file } = await configForFiles(io, options);
  if (file !== undefined) return config;
  const url = urlOf(config.api.listen);
  const running = await dataDirectoryOf(url);
  if (running === undefined || running === (await directoryId(config.data))) return config;
  throw new StopgapError(
    'conflict',
    `the server at ${url.origin} does not use ${config.data}: name its configuration with --config FILE (sudo does not pass STOPGAP_CONFIG on)`,
  );
}

/** Undefined if no Stopgap answers. */
async function dataDirectoryOf(url: URL): Promise<string | undefined> {
  try {
    const response = await fetch(new URL('healthz', url), { signal: AbortSignal.timeout(SECOND) });
    const { dataDirectory } = (await response.json()) as { dataDirectory?: unknown };
    return typeof dataDirectory === 'string' ? dataDirectory : undefined;
  } catch {
    // No Stopgap listens there, so there is nothing to compare.
    return undefined;
  }
}

/** The server's address, by the same rules; it need not be up. @throws InvalidInput for what is no URL */
export function serverUrl(io: CliIo, options: { readonly url?: string }, config: Config): URL {
  const url = options.url ?? given(io, 'STOPGAP_URL');
  return url === undefined ? urlOf(config.api.listen) : parseUrl(url);
}

function given(io: CliIo, name: string): string | undefined {
  const value = io.env[name];
  return value === undefined || value === '' ? undefined : value;
}

function parseUrl(text: string): URL {
  try {
    const url = new URL(text.includes('://') ? text : `http://${text}`);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new TypeError('not HTTP');
    if (!url.pathname.endsWith('/')) url.pathname += '/';
    return url;
  } catch {
    throw new InvalidInput('url', `"${text}" is no URL: use a form such as http://127.0.0.1:8025`);
  }
}

/** If the server listens on all interfaces, it is asked on loopback. */
function urlOf({ host, port, passed }: ListenAddress): URL {
  if (passed !== undefined)
    throw new InvalidInput(
      'url',
      'api.listen is a socket of systemd: name the URL with --url or STOPGAP_URL',
    );
  const local = host === undefined || host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  return new URL(`http://${formatListen({ host: local, port })}/`);
}

function readTokenFile(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (thrown) {
    throw new StopgapError(
      'unauthorized',
      `the token file ${file} ${fileFault(thrown, 'name another with --token-file')}`,
    );
  }
}

/** A token must fit into an HTTP header. */
function checked(token: string): string {
  if (/^[\x21-\x7e]{1,1024}$/.test(token)) return token;
  throw new StopgapError('unauthorized', 'the token is empty or has characters that no token has');
}

/** The token of the evaluation set-up, where its file can be read. */
async function demoToken(data: string): Promise<string | undefined> {
  const text = await readIfThere(path.join(data, 'demo-credentials.txt'));
  return text === undefined ? undefined : /^token: (\S+)$/m.exec(text)?.[1];
}

/** Why an answer did not come, in a few words. */
export function causeOf(thrown: unknown, patience = PATIENCE): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const { cause } = thrown as { cause?: unknown };
  if (cause instanceof Error) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code?.startsWith('HPE_') === true) return 'what answers there does not speak HTTP';
    return code ?? cause.message;
  }
  return thrown.name === 'TimeoutError' ? `nothing within ${patience / SECOND} s` : thrown.message;
}

function parse(text: string, response: Response, base: URL): unknown {
  if (text === '') return undefined;
  try {
    if (response.headers.get('content-type')?.includes('json') === true) return JSON.parse(text);
  } catch {
    // Broken JSON is reported below, like any other foreign answer.
  }
  // A proxy in front of a Stopgap that starts or stops.
  const isAway = response.status >= 502 && response.status <= 504;
  if (!isAway) throw noStopgap(base);
  throw new StopgapError(
    'unavailable',
    `${base.origin} answers ${response.status}, as a proxy does whose server is away: is stopgap serve running behind it?`,
  );
}

function noStopgap(base: URL): StopgapError {
  return new StopgapError('unavailable', `${base.origin} answers, but not as Stopgap does: check the URL`);
}

function refusal(status: number, { code, detail, results }: ProblemBody, base: URL): StopgapError {
  const text = typeof detail === 'string' ? detail : `status ${status}`;
  const known = Object.keys(ERROR_CODES).find((one): one is ErrorCode => one === code);
  if (status === 401) {
    return new StopgapError(
      'unauthorized',
      `${base.origin} does not take the token (${text}): stopgap token list shows which there are`,
    );
  }
  if (known === 'unavailable')
    return new StopgapError(
      known,
      `${base.origin} cannot do this now (${text}): try again, or ask stopgap doctor`,
      results === undefined ? {} : { results },
    );
  return new StopgapError(known ?? 'unavailable', known === undefined ? `${base.origin}: ${text}` : text);
}
