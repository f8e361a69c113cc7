import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { AdminTable } from '../../../src/accounts/admins.js';
import { addAdmin, NO_ADMINS, readAdmins } from '../../../src/accounts/admins.js';
import type { ApiDependencies } from '../../../src/api/index.js';
import { ApiServer } from './server.js';
import type { BrowserAnswer, BrowserAsking } from './browser.js';
import { browse } from './browser.js';
import '../auth/checked-once.js';

export const PASSWORD = 'correct horse battery staple';

/** An API with a file of administrators that it can write, asked as a browser asks. */
export class PeopleServer {
  readonly #folder: string;
  readonly file: string;
  admins: AdminTable = NO_ADMINS;
  server!: ApiServer;
  #change: (deps: ApiDependencies) => ApiDependencies = (deps) => deps;

  private constructor() {
    this.#folder = mkdtempSync(path.join(os.tmpdir(), 'stopgap-people-'));
    this.file = path.join(this.#folder, 'admins.yaml');
  }

  /** @param change what else the API is given */
  static async start(
    change: (deps: ApiDependencies) => ApiDependencies = (deps) => deps,
  ): Promise<PeopleServer> {
    const people = new PeopleServer();
    people.#change = change;
    people.server = await ApiServer.start((deps) => people.#given(deps));
    return people;
  }

  #given(deps: ApiDependencies): ApiDependencies {
    const adminsFile = { path: this.file, readAgain: () => this.read() };
    return this.#change({ ...deps, admins: () => this.admins, adminsFile });
  }

  async read(): Promise<void> {
    this.admins = await readAdmins(this.file);
  }

  restart(change = this.#change): Promise<void> {
    this.#change = change;
    return this.server.restart((deps) => this.#given(deps));
  }

  async add(name: string, role: string, domains: readonly string[] = []): Promise<void> {
    await addAdmin({
      file: this.file,
      name,
      role,
      domains,
      password: PASSWORD,
      now: this.server.clock.now(),
    });
    await this.read();
  }

  ask(method: string, target: string, asking?: BrowserAsking): Promise<BrowserAnswer> {
    return browse(this.server.url, method, `/api/v1/${target}`, asking);
  }

  signIn(name: string, more: Readonly<Record<string, unknown>> = {}): Promise<BrowserAnswer> {
    return this.ask('POST', 'sign-in', { body: { name, password: PASSWORD, ...more } });
  }

  /** The status of the own session. */
  async status(cookie: string): Promise<number> {
    return (await this.ask('GET', 'session', { cookie })).status;
  }

  /** All that is recorded of a person, as text. */
  async recorded(name: string): Promise<string> {
    const events: unknown[] = [];
    for await (const event of this.server.deps.store.readStream(`session-${name}`)) events.push(event);
    return JSON.stringify(events);
  }

  async stop(): Promise<void> {
    await this.server.stop();
    rmSync(this.#folder, { recursive: true });
  }
}
