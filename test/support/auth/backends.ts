import { mock } from 'node:test';
import type { TestContext } from 'node:test';
import { hashPassword, PasswordChecker } from '../../../src/accounts/passwords.js';
import type { Asked, Before, FakeServer, Judge } from './fakes.js';
import { FakeDovecot, FakeMailServer, FakeService } from './fakes.js';

/** One account that a back end knows. */
export interface Known {
  readonly password: string;
  readonly disabled?: boolean;
}

export type Accounts = Readonly<Record<string, Known>>;

/** A back end to be tested: what the configuration says of it, and how it is made to fail. */
export interface BackendInTest {
  /** `smtp.auth` */
  readonly auth: Readonly<Record<string, unknown>>;
  /** Files beside the configuration. */
  readonly files: Readonly<Record<string, string>>;
  /** How many checks of passwords were made there. */
  asked(): number;
  /** What it was asked last, where that can be seen. */
  last(): Asked | undefined;
  /** From now on it waits for this before it answers. It has no effect on one that is asked in memory. */
  slow(before: Before): void;
  /** Undefined: it cannot be away. */
  readonly failing:
    | {
        /** It answers that it cannot tell. */
        temporarily(): void;
        /** It takes questions and answers none. */
        hang(): void;
        /** It answers again. */
        recover(): void;
        /** It is gone. */
        stop(): Promise<void>;
        resume(): Promise<void>;
      }
    | undefined;
}

export interface BackendAdapter {
  readonly name: 'file' | 'dovecot' | 'smtp' | 'http';
  readonly plug: (t: Pick<TestContext, 'after'>, accounts: Accounts) => Promise<BackendInTest>;
}

function judgeOf(accounts: Accounts): Judge {
  return ({ name, password }) => {
    const known = accounts[name];
    return known?.password === password && known.disabled !== true ? 'right' : 'wrong';
  };
}

function elsewhere(server: FakeServer, usual: Judge, auth: BackendInTest['auth']): BackendInTest {
  return {
    auth,
    files: {},
    asked: () => server.asked.length,
    last: () => server.asked.at(-1),
    slow: (before) => void (server.before = before),
    failing: {
      temporarily: () => void (server.judge = () => 'away'),
      hang: () => void (server.judge = () => 'nothing'),
      recover: () => void (server.judge = usual),
      stop: () => server.stop(),
      resume: () => server.resume(),
    },
  };
}

export const BACKENDS: readonly BackendAdapter[] = [
  {
    name: 'file',
    async plug(t, accounts) {
      const users = await Promise.all(
        Object.entries(accounts).map(async ([name, { password, disabled = false }]) => ({
          name,
          password: await hashPassword(password, { ln: 4, r: 1, p: 1 }),
          disabled,
        })),
      );
      const verify = mock.method(PasswordChecker.prototype, 'verify');
      t.after(() => verify.mock.restore());
      return {
        auth: { users: './people.yaml' },
        files: { 'people.yaml': JSON.stringify({ users }) },
        asked: () => verify.mock.callCount(),
        last: () => undefined,
        slow: () => undefined,
        failing: undefined,
      };
    },
  },
  {
    name: 'dovecot',
    async plug(t, accounts) {
      const judge = judgeOf(accounts);
      const server = new FakeDovecot(judge);
      await server.resume();
      t.after(() => server.stop());
      return elsewhere(server, judge, { backend: 'dovecot', dovecot: `127.0.0.1:${server.port}` });
    },
  },
  {
    name: 'smtp',
    async plug(t, accounts) {
      const judge = judgeOf(accounts);
      const server = await FakeMailServer.start(judge);
      t.after(() => server.stop());
      return elsewhere(server, judge, { backend: 'smtp', smtp: `smtp://127.0.0.1:${server.port}` });
    },
  },
  {
    name: 'http',
    async plug(t, accounts) {
      const judge = judgeOf(accounts);
      const server = new FakeService(judge);
      await server.resume();
      t.after(() => server.stop());
      return elsewhere(server, judge, { backend: 'http', http: `http://127.0.0.1:${server.port}/login` });
    },
  },
];
