import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import type { Server, Socket } from 'node:net';
import net from 'node:net';
import { Transform, pipeline } from 'node:stream';
import type { TransformCallback } from 'node:stream';
import type { AlarmClock, Instant, Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { removeLeft } from './listener.js';

/*
 * Dovecot's authentication protocol: lines of fields, separated by tabs. The server greets; then its client sends
 * `AUTH id MECH service=… rip=…`, and is answered `CONT`, `OK id user=…` or `FAIL id user=…`.
 */

/** Bytes of one line. Dovecot takes at most 8,192 of a client; its own lines are shorter. */
const LONGEST_LINE = 65_536;
/** Logins under way on one connection: a mail server's process has one at a time. */
const MOST_LOGINS = 1000;
const MOST_CONNECTIONS = 2000;
/** Dovecot looks so often for failures that have waited long enough (auth_failure_delay). */
const TICK: Milliseconds = SECOND / 2;

/**
 * Mechanisms that tell a client nothing of its password before `OK` or `FAIL`. SCRAM, DIGEST-MD5 and GSSAPI prove to it in a
 * `CONT` before `OK` that the password was right, and XOAUTH2 and OAUTHBEARER say in one before `FAIL` that the token was not.
 */
const TELL_NOTHING_BEFORE: ReadonlySet<string> = new Set(['PLAIN', 'LOGIN', 'CRAM-MD5', 'EXTERNAL']);

/** What passes of a line, now or when its time has come; undefined if nothing does, an error if the connection ends. */
type Passed = string | Promise<string> | undefined | Error;

/** A login whose password was right. */
export interface SaslLogin {
  readonly login: string;
  /** The client's address; undefined if the mail server did not say. */
  readonly remote: string | undefined;
  /** `smtp` for Postfix and Exim. */
  readonly protocol: string;
}

export interface SaslProxyOptions {
  /** A descriptor that listens already, as systemd passes it, or the path of a socket to make. */
  readonly listen: { readonly fd: number } | { readonly path: string };
  /** The path of Dovecot's own socket. */
  readonly auth: string;
  /** Resolves within a short time, whatever happens. */
  readonly isBlocked: (login: SaslLogin) => Promise<boolean>;
  /** Dovecot's auth_failure_delay. */
  readonly failureDelay: Milliseconds;
  readonly clock: AlarmClock;
}

/**
 * Stands between a mail server and Dovecot's authentication socket. All lines pass as they are, except the success of a
 * blocked account: it becomes the failure that a wrong password gets, as late as Dovecot says it. No login has a penalty.
 * Mechanisms by which a client would know better are not there.
 */
export class SaslProxy {
  readonly #options: SaslProxyOptions;
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  constructor(options: SaslProxyOptions) {
    this.#options = options;
    this.#server = net.createServer((client) => this.#take(client));
    this.#server.maxConnections = MOST_CONNECTIONS;
  }

  async listen(): Promise<void> {
    const { listen } = this.#options;
    if ('path' in listen) await removeLeft(listen.path);
    this.#server.listen(listen);
    await once(this.#server, 'listening');
    // Postfix runs as a user of its own. Who may reach the socket is up to the folder that it is in.
    if ('path' in listen) await chmod(listen.path, 0o666);
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#open) socket.destroy();
    await closed;
  }

  #take(client: Socket): void {
    const dovecot = net.connect(this.#options.auth);
    for (const socket of [client, dovecot]) {
      this.#open.add(socket);
      socket.once('close', () => this.#open.delete(socket));
    }
    const logins = new Logins(this.#options);
    // Where one side ends or fails, both are closed: a mail server connects anew.
    const end = (): void => {
      client.destroy();
      dovecot.destroy();
    };
    pipeline(client, new Lines((line) => logins.asked(line)), dovecot, end);
    pipeline(dovecot, new Lines((line) => logins.answered(line)), client, end);
  }
}

/** Hands on whole lines: at once, or when their time has come. */
class Lines extends Transform {
  readonly #turn: (line: string) => Passed;
  #rest = '';

  constructor(turn: (line: string) => Passed) {
    super();
    this.#turn = turn;
  }

  override _transform(chunk: Buffer, _encoding: unknown, done: TransformCallback): void {
    const lines = (this.#rest + chunk.toString('latin1')).split('\n');
    this.#rest = lines.pop()!;
    let ready = '';
    for (const line of lines) {
      const turned = line.length > LONGEST_LINE ? new Error('a line is too long') : this.#turn(line);
      if (turned instanceof Error) return done(turned);
      if (typeof turned === 'string') ready += `${turned}\n`;
      // Others do not wait for it: each login has an id of its own.
      else void turned?.then((late) => this.#say(`${late}\n`));
    }
    if (this.#rest.length > LONGEST_LINE) return done(new Error('a line is too long'));
    this.#say(ready);
    done();
  }

  #say(text: string): void {
    if (text !== '' && !this.destroyed && !this.writableEnded) this.push(text, 'latin1');
  }
}

/** The logins of one connection. */
class Logins {
  readonly #options: SaslProxyOptions;
  /** What the mail server said of each login that is under way, by its id. */
  readonly #underWay = new Map<string, Omit<SaslLogin, 'login'>>();

  constructor(options: SaslProxyOptions) {
    this.#options = options;
  }

  asked(line: string): string | Error {
    if (!line.startsWith('AUTH\t')) return line;
    const [verb, id = '', mechanism = '', ...fields] = line.split('\t');
    // Dovecot closes too where it is asked for a mechanism that it did not offer.
    if (!tellsNothingBefore(mechanism)) return new Error('the mechanism was not offered');
    const [oldest] = this.#underWay.keys();
    if (oldest !== undefined && this.#underWay.size >= MOST_LOGINS) this.#underWay.delete(oldest);
    this.#underWay.set(id, {
      protocol: valueOf(fields, 'service') ?? '',
      remote: valueOf(fields, 'rip'),
    });
    // By its penalty each wrong password would make the next one wait longer, but not a right one that is made to fail.
    return [verb, id, mechanism, 'no-penalty', ...fields].join('\t');
  }

  answered(line: string): string | Promise<string> | undefined {
    const [verb, id = '', ...fields] = line.split('\t');
    if (verb === 'MECH') return tellsNothingBefore(id) ? line : undefined;
    if (verb !== 'OK' && verb !== 'FAIL') return line;
    const about = this.#underWay.get(id) ?? { protocol: '', remote: undefined };
    this.#underWay.delete(id);
    const user = fields.find((field) => field.startsWith('user='));
    return verb === 'FAIL' || user === undefined ? line : this.#judged(line, id, user, about);
  }

  async #judged(line: string, id: string, user: string, about: Omit<SaslLogin, 'login'>): Promise<string> {
    const { isBlocked, clock, failureDelay } = this.#options;
    const late = lateness(clock.now(), failureDelay);
    const begun = clock.monotonic();
    if (!(await isBlocked({ ...about, login: textOf(user.slice('user='.length)) }))) return line;
    const left = late - (clock.monotonic() - begun);
    if (left > 0) await new Promise<void>((resolve) => void clock.after(left, resolve));
    return `FAIL\t${id}\t${user}`;
  }
}

/**
 * How long Dovecot holds a failure back: it looks each half second whether the clock's seconds have moved on by so many. It
 * looks no sooner where they need not.
 */
export function lateness(now: Instant, delay: Milliseconds): Milliseconds {
  return Math.max(1, Math.ceil((delay - (now % SECOND)) / TICK)) * TICK;
}

/** @param mechanism in any case, as Dovecot takes it */
function tellsNothingBefore(mechanism: string): boolean {
  return TELL_NOTHING_BEFORE.has(mechanism.toUpperCase());
}

function valueOf(fields: readonly string[], name: string): string | undefined {
  const field = fields.find((one) => one.startsWith(`${name}=`));
  return field === undefined ? undefined : textOf(field.slice(name.length + 1));
}

const ESCAPED: Readonly<Record<string, string>> = { '0': '\0', '1': '\x01', t: '\t', r: '\r', n: '\n' };

/** A field as text: Dovecot escapes what would end it. */
function textOf(field: string): string {
  // eslint-disable-next-line no-control-regex -- it is the character that Dovecot escapes with
  const plain = field.replace(/\x01(.)/g, (_, escaped: string) => ESCAPED[escaped] ?? escaped);
  return Buffer.from(plain, 'latin1').toString();
}
