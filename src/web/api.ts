import createClient from 'openapi-fetch';
import type { Answer, Given, Method, Operation, PathWith, Schemas } from '../api/openapi-calls.js';
import type { paths } from '../api/openapi-types.js';

export type { AnswerOf, BodyOf, QueryOf, Schemas } from '../api/openapi-calls.js';
export type Block = Schemas['Block'];
export type ListedBlock = Schemas['ListedBlock'];
export type Change = Schemas['Change'];
export type Subject = Schemas['Subject'];
export type Problem = Schemas['Problem'];
export type Session = Schemas['Session'];
export type Who = Schemas['Who'];

/** Where the page itself is: behind a prefix, too. */
const BASE = new URL('.', document.baseURI).href.replace(/\/$/, '');

const client = createClient<paths>({ baseUrl: BASE });

client.use({
  onRequest({ request }) {
    // Changes are listed as made by the page, since it says so here.
    const id = newRequestId();
    request.headers.set('X-Request-Id', id);
    // A browser may send a request again by itself.
    if (request.method !== 'GET') request.headers.set('Idempotency-Key', id);
    return request;
  },
});

type Other = { readonly keepalive?: boolean; readonly parseAs?: 'text' };
type Call<M extends Method> = <P extends PathWith<M>>(
  path: P,
  ...asked: Given<Operation<M, P>, Other>
) => Promise<Called<Answer<Operation<M, P>>>>;

/** The API, typed by its OpenAPI document. The session's cookie says who asks. */
export const api = client as unknown as { readonly [M in Method as Uppercase<M>]: Call<M> };

export const urlOf = (path: string): string => BASE + path;

function newRequestId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `page-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** What the API refused, or that it does not answer (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly problem: Problem | undefined;
  readonly requestId: string | null;

  constructor(status: number, problem: Problem | undefined, requestId: string | null) {
    super(problem?.detail ?? (status === 0 ? 'Stopgap does not answer.' : `It was answered ${status}.`));
    this.status = status;
    this.problem = problem;
    this.requestId = requestId;
  }

  /** The message for a field of a form. */
  of(field: string): string | undefined {
    return this.problem?.errors?.find((error) => error.field === field)?.message;
  }
}

interface Called<Data> {
  readonly data?: Data;
  readonly error?: unknown;
  readonly response: Response;
}

/** The answer's JSON. @throws ApiError */
export async function answered<Data>(call: Promise<Called<Data>>): Promise<Data> {
  return (await made(call)).data;
}

/** As {@link answered}, with whether the request made something new: 200 tells of what was there before. @throws ApiError */
export async function made<Data>(
  call: Promise<Called<Data>>,
): Promise<{ readonly data: Data; readonly isNew: boolean }> {
  const { data, error, response } = await call.catch((thrown: unknown) => {
    if (thrown instanceof DOMException && thrown.name === 'AbortError') throw thrown;
    throw new ApiError(0, undefined, null);
  });
  if (response.ok) return { data: data as Data, isNew: response.status === 201 };
  const problem =
    typeof error === 'object' && error !== null && 'detail' in error ? (error as Problem) : undefined;
  throw new ApiError(response.status, problem, response.headers.get('x-request-id'));
}
