/** What a browser of the own page sends with each request. */
export const OWN_PAGE = { 'sec-fetch-site': 'same-origin' };

export interface BrowserAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, unknown>>;
  /** What a browser sends from then on. */
  readonly cookie: string;
}

export interface BrowserAsking {
  readonly cookie?: string | undefined;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asks as a browser does: with a cookie, and not by a token. */
export async function browse(
  url: string,
  method: string,
  target: string,
  { cookie, body, headers = OWN_PAGE }: BrowserAsking = {},
): Promise<BrowserAnswer> {
  const response = await fetch(new URL(target, url), {
    method,
    redirect: 'manual',
    headers: {
      ...(cookie === undefined ? {} : { cookie }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  const set = response.headers.get('set-cookie') ?? '';
  return {
    status: response.status,
    headers: response.headers,
    body: (text === '' ? {} : JSON.parse(text)) as BrowserAnswer['body'],
    cookie: set.split(';')[0]!,
  };
}
