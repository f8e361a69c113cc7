import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { after, afterEach } from 'node:test';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import type { AdminTable } from '../../../src/accounts/admins.js';
import { addAdmin, NO_ADMINS, readAdmins } from '../../../src/accounts/admins.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import { ApiServer, OWN_DOMAINS } from '../api/server.js';
import '../auth/checked-once.js';

const CHROMIUM = [
  process.env['STOPGAP_TEST_CHROMIUM'],
  // The first has no windows, and takes half as much of the processor.
  '/usr/bin/chromium-headless-shell',
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
].find((file) => file !== undefined && file !== '' && existsSync(file));

/** For `skip` of a test: why there can be no browser, or false. */
export const WITHOUT_BROWSER: string | false =
  CHROMIUM === undefined ? 'no Chromium: apt-get install chromium-headless-shell' : false;

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** The rules of WCAG 2.2 AA, and what axe recommends beyond. */
const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
/** Those of them that another colour scheme may break. */
const OF_COLOURS = ['color-contrast', 'link-in-text-block'];

let browser: Promise<Browser> | undefined;

/** One browser for all tests of a process. */
function theBrowser(): Promise<Browser> {
  browser ??= chromium.launch({
    executablePath: CHROMIUM!,
    args: [
      // Chromium's own sandbox does not start as root.
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      // All pages are ours: a process for each site costs a tenth of the processor that the tests of the page take.
      '--disable-site-isolation-trials',
    ],
  });
  return browser;
}

/** The windows of a test. Each would go on listening and drawing while later tests run. */
const opened: BrowserContext[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((context) => context.close()));
});
after(async () => {
  await (await browser)?.close();
});

export const PASSWORD = 'correct horse battery staple';
/** People who can sign in, by their role. */
export const PEOPLE = {
  admin: 'alice',
  operator: 'oscar',
  viewer: 'vera',
  domain: 'dora',
} as const;
export type PersonRole = keyof typeof PEOPLE;

interface Opening {
  /** Who has signed in; undefined: nobody yet. */
  readonly as?: PersonRole | undefined;
  /** The part of the URL after `#`. */
  readonly at?: string;
  readonly width?: number;
  readonly height?: number;
  /** Through what it is reached; the server itself unless given. */
  readonly url?: string;
}

/** The files of administrators that were made, by what is in them. A hash of a password costs more than a copy. */
const made = new Map<string, string>();

async function fileOf(people: Partial<typeof PEOPLE>, file: string, now: number): Promise<void> {
  const key = JSON.stringify([people, now]);
  const known = made.get(key);
  if (known !== undefined) return writeFileSync(file, known, { mode: 0o600 });
  for (const [role, name] of Object.entries(people)) {
    const domains = role === 'domain' ? OWN_DOMAINS : [];
    await addAdmin({ file, name, role, domains, password: PASSWORD, now });
  }
  if (existsSync(file)) made.set(key, readFileSync(file, 'utf8'));
}

/** The whole API with its page, and a real browser that shows it. Its clock is the server's. */
export class PageServer {
  readonly #folder: string;

  private constructor(
    readonly api: ApiServer,
    folder: string,
  ) {
    this.#folder = folder;
  }

  static async start(
    change: (deps: ApiDependencies) => ApiDependencies = (deps) => deps,
    people: Partial<typeof PEOPLE> = PEOPLE,
  ): Promise<PageServer> {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'stopgap-page-'));
    let admins: AdminTable = NO_ADMINS;
    const file = path.join(folder, 'admins.yaml');
    const readAgain = async (): Promise<void> => {
      admins = await readAdmins(file);
    };
    const adminsFile = { path: file, readAgain };
    const api = await ApiServer.start((deps) => change({ ...deps, admins: () => admins, adminsFile }));
    await fileOf(people, file, api.clock.now());
    await readAgain();
    return new PageServer(api, folder);
  }

  /** A new browser window, with nothing kept of others. It closes with the test. */
  async open({ as, at = '/', width = 1280, height = 800, url = this.api.url }: Opening = {}): Promise<Page> {
    const context = await (
      await theBrowser()
    ).newContext({
      viewport: { width, height },
      colorScheme: 'light',
      locale: 'en-GB',
      timezoneId: 'Europe/Berlin',
      reducedMotion: 'reduce',
    });
    opened.push(context);
    context.setDefaultTimeout(20_000);
    await context.clock.setFixedTime(this.api.clock.now());
    const page = await context.newPage();
    page.on('pageerror', (error) => assert.fail(`the page threw: ${error.stack ?? error.message}`));
    page.on('console', (message) => {
      assert.doesNotMatch(message.text(), /Content.Security.Policy/i);
    });
    if (as !== undefined) await this.#signIn(context, url, PEOPLE[as]);
    await page.goto(`${url}#${at}`);
    return page;
  }

  /** The window keeps the cookie. */
  async #signIn(context: BrowserContext, url: string, name: string): Promise<void> {
    const reply = await context.request.post(`${url}api/v1/sign-in`, { data: { name, password: PASSWORD } });
    assert.equal(reply.status(), 200);
  }

  async stop(): Promise<void> {
    await this.api.stop();
    rmSync(this.#folder, { recursive: true });
  }
}

/** Asserts that axe finds nothing on a screen, in light colours and in dark ones. */
export async function assertAccessible(page: Page): Promise<void> {
  // Injected as by a debugger: the page's policy lets no other script in.
  if (!(await page.evaluate(() => 'axe' in globalThis))) await page.evaluate(AXE);
  assert.deepEqual(await violationsOf(page, { type: 'tag', values: AXE_TAGS }), []);
  await page.emulateMedia({ colorScheme: 'dark' });
  assert.deepEqual(await violationsOf(page, { type: 'rule', values: OF_COLOURS }), []);
  await page.emulateMedia({ colorScheme: 'light' });
}

function violationsOf(
  page: Page,
  runOnly: { readonly type: 'tag' | 'rule'; readonly values: readonly string[] },
): Promise<readonly string[]> {
  return page.evaluate(async (only) => {
    const { axe } = globalThis as unknown as {
      axe: { run: (context: unknown, options: unknown) => Promise<unknown> };
    };
    const result = (await axe.run('html', { runOnly: only, resultTypes: ['violations'] })) as {
      violations: { id: string; help: string; nodes: { html: string; failureSummary: string }[] }[];
    };
    return result.violations.map(
      ({ id, nodes }) => `${id}: ${nodes[0]?.html.slice(0, 200)} ${nodes[0]?.failureSummary}`,
    );
  }, runOnly);
}

/** Asserts that nothing is cut off or has to be scrolled sideways at 320 CSS pixels (WCAG 2.2, 1.4.10). */
export async function assertReflows(page: Page): Promise<void> {
  await page.setViewportSize({ width: 320, height: 640 });
  // A string: it runs in the browser, whose types are not those of the tests.
  const wide = await page.evaluate<{ width: number; who: string[] }>(`({
    width: document.documentElement.scrollWidth,
    who: [...document.querySelectorAll('body *')]
      .filter((element) => element.getBoundingClientRect().right > 321 && element.closest('.table-scroll, pre') === null)
      .slice(0, 3)
      .map((element) => element.outerHTML.slice(0, 160)),
  })`);
  assert.ok(wide.width <= 320, `${wide.width} pixels wide: ${wide.who.join('\n')}`);
}
