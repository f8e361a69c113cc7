import { randomBytes, randomInt } from 'node:crypto';
import net from 'node:net';
import type { Socket } from 'node:net';
import { SECOND } from '../../kernel/time.js';
import type { BackoffOptions } from '../../runtime/clock.js';
import { pauseAfter } from '../../runtime/clock.js';
import { OWN_SESSION } from '../../sending/identity.js';
import type { RemoteOptions } from './bounded-checks.js';
import { BoundedChecks, FAILS_AFTER, nobody, possibleAccount, REMEMBERED } from './bounded-checks.js';
import type { AuthBackend, Login, LoginClient } from './port.js';

/** Where Dovecot's auth service listens for clients. */
export type DovecotAddress = { readonly path: string } | { readonly host: string; readonly port: number };

export interface DovecotOptions extends RemoteOptions {
  readonly address: DovecotAddress;
}

/** Dovecot delays the answer to each wrong password by seconds: as many may wait at a time. */
const AT_ONCE = 500;
/** Characters; no line of the protocol comes near. */
const LONGEST_LINE = 8192;
const BACKOFF: BackoffOptions = { first: 250, most: 2 * SECOND };
/** A restart of Dovecot takes a second or two, through which questions wait. After so many failed connects they do not. */
const PATIENT_FOR = 3;

/** Something that waits for an answer. */
interface Question {
  /** What is asked; undefined if the question is only whether the service is there. */
  readonly login: Login | undefined;
  /** How often it was sent. A connection that breaks may have lost it, so it is sent twice at most. */
  sent: number;
  /** How much had been heard when it was sent, or before. */
  heard: number;
  /** The connection that it was sent on, or that it waits for. */
  socket: Socket | undefined;
  readonly resolve: (account: string | undefined) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Dovecot's auth service as back end, by its client protocol (1.1 and later): over one connection, which stays open, with the
 * questions pipelined.
 */
export class DovecotBackend implements AuthBackend {
  readonly memory = REMEMBERED;
  readonly failsAfter = FAILS_AFTER;
  readonly nobody = nobody;
  readonly #address: DovecotAddress;
  readonly #clock: RemoteOptions['clock'];
  readonly #checks: BoundedChecks;
  readonly #questions = new Map<number, Question>();
  #count = 0;
  #socket: Socket | undefined;
  /** The greeting has been read. */
  #isReady = false;
  #offersPlain = false;
  /** What came after the last line end. */
  #rest = '';
  /** Lines that came from the connection. */
  #heard = 0;
  /** Connects in a row that came to nothing. */
  #failures = 0;
  #cancelRetry: (() => void) | undefined;

  constructor(options: DovecotOptions) {
    this.#address = options.address;
    this.#clock = options.clock;
    this.#checks = new BoundedChecks(options, `Dovecot at ${nameOf(options.address)}`, AT_ONCE);
  }

  get pending(): number {
    return this.#checks.pending;
  }

  get isAway(): boolean {
    return this.#checks.isAway;
  }

  check(login: Login, begins?: () => void): Promise<string | undefined> {
    return this.#checks.run(login.client.network, (signal) => this.#ask(login, signal), begins);
  }

  /** Dovecot may let an account log in from some networks only. */
  dependsOn(_name: string, client: LoginClient): string {
    return client.ip;
  }

  probe(): Promise<{ ok: boolean; detail: string }> {
    return this.#checks.probe((signal) => this.#ask(undefined, signal));
  }

  close(): void {
    this.#cancelRetry?.();
    this.#drop('Stopgap ends', true);
  }

  #ask(login: Login | undefined, signal: AbortSignal): Promise<string | undefined> {
    // Ids are numbers of 32 bits.
    this.#count = (this.#count % 0x7fff_ffff) + 1;
    const id = this.#count;
    signal.addEventListener('abort', () => this.#late(id), { once: true });
    return new Promise((resolve, reject) => {
      const question: Question = { login, sent: 0, heard: this.#heard, socket: undefined, resolve, reject };
      this.#questions.set(id, question);
      if (this.#isReady) this.#send(id, question);
      else question.socket = this.#connect();
    });
  }

  #late(id: number): void {
    const question = this.#questions.get(id);
    if (question === undefined) return;
    this.#questions.delete(id);
    question.reject(new Error('it is too late'));
    // Nothing at all came since: the connection is dead, or the service hangs. A newer connection may be well.
    if (question.socket === this.#socket && question.heard === this.#heard) this.#drop('it does not answer');
  }

  /** @returns the connection, or the one that is being opened; undefined during a pause */
  #connect(): Socket | undefined {
    if (this.#socket !== undefined || this.#cancelRetry !== undefined) return this.#socket;
    const socket = net.connect(this.#address);
    let fault = 'it closed the connection';
    this.#socket = socket;
    socket
      .setEncoding('utf8')
      .setNoDelay(true)
      .setKeepAlive(true, 30 * SECOND);
    socket.on('connect', () => {
      // The id must be of one connection only, and process ids of two containers may be the same.
      socket.write(`VERSION\t1\t1\nCPID\t${randomInt(1, 0x7fff_ffff)}\n`);
    });
    socket.on('data', (text: string) => this.#take(socket, text));
    socket.on('error', (error: NodeJS.ErrnoException) => (fault = error.code ?? error.message));
    socket.on('close', () => this.#lost(socket, fault));
    return socket;
  }

  /** @param isFinal what waits is not sent again */
  #drop(reason: string, isFinal = false): void {
    const socket = this.#socket;
    if (isFinal) this.#rejectAll(reason);
    socket?.destroy();
    if (socket !== undefined) this.#lost(socket, reason);
  }

  #lost(socket: Socket, reason: string): void {
    if (this.#socket !== socket) return;
    this.#socket = undefined;
    this.#isReady = this.#offersPlain = false;
    this.#rest = '';
    this.#heard = 0;
    this.#failures++;
    for (const [id, question] of this.#questions) {
      const isPatient = question.login !== undefined && this.#failures < PATIENT_FOR;
      if (isPatient && question.sent < 2) continue;
      this.#questions.delete(id);
      question.reject(new Error(`${this.#checks.name}: ${reason}`));
    }
    if (this.#questions.size === 0) return;
    this.#retryLater();
  }

  #retryLater(): void {
    this.#cancelRetry = this.#clock.after(pauseAfter(this.#failures, BACKOFF), () => {
      this.#cancelRetry = undefined;
      if (this.#questions.size > 0) this.#connect();
    });
  }

  #rejectAll(reason: string): void {
    for (const { reject } of this.#questions.values()) reject(new Error(`${this.#checks.name}: ${reason}`));
    this.#questions.clear();
  }

  #take(socket: Socket, text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) {
      if (this.#socket !== socket) return;
      if (line.length > LONGEST_LINE) return this.#drop('it sent an endless line');
      this.#heard++;
      this.#understand(line);
    }
    if (this.#rest.length > LONGEST_LINE) this.#drop('it sent an endless line');
  }

  #understand(line: string): void {
    const [command, first = '', ...more] = line.split('\t');
    if (command === 'VERSION') {
      if (first !== '1') this.#drop(`it speaks version ${first.slice(0, 10)} of the protocol, not 1`);
    } else if (command === 'MECH') this.#offersPlain ||= first === 'PLAIN';
    else if (command === 'DONE') this.#greeted();
    else if (command === 'OK' || command === 'FAIL' || command === 'CONT')
      this.#answered(command, Number(first), more);
  }

  #greeted(): void {
    if (!this.#offersPlain) return this.#drop('it does not offer PLAIN (auth_mechanisms)');
    this.#isReady = true;
    for (const [id, question] of this.#questions) this.#send(id, question);
  }

  #send(id: number, question: Question): void {
    const { login } = question;
    if (login === undefined) {
      this.#questions.delete(id);
      this.#failures = 0;
      return question.resolve(undefined);
    }
    question.sent++;
    question.heard = this.#heard;
    question.socket = this.#socket;
    this.#socket!.write(`${requestOf(id, login)}\n`);
  }

  #answered(command: 'OK' | 'FAIL' | 'CONT', id: number, parameters: readonly string[]): void {
    const question = this.#questions.get(id);
    if (question === undefined || !this.#isReady) return;
    this.#questions.delete(id);
    this.#failures = 0;
    if (command === 'OK' && isDisabled(parameters)) question.resolve(undefined);
    else if (command === 'OK') {
      const account = accountOf(parameters, question.login!.name);
      question.resolve(account ?? this.#checks.unusable('it names an account that cannot be one'));
    } else if (command === 'FAIL' && !parameters.some(isTemporary)) question.resolve(undefined);
    else
      question.reject(
        new Error(
          `${this.#checks.name}: ${command === 'FAIL' ? 'it has a temporary failure' : 'it asks for more than PLAIN has'}`,
        ),
      );
  }
}

/** The password is right, but the account may not log in; a server that only passes logins on says so of each. */
function isDisabled(parameters: readonly string[]): boolean {
  const has = (field: string): boolean =>
    parameters.some((one) => one === field || one.startsWith(`${field}=`));
  return has('nologin') && !has('proxy');
}

/** `code=temp_fail`; before Dovecot 2.3 it was `temp`. */
function isTemporary(parameter: string): boolean {
  return parameter === 'temp' || parameter === 'code=temp_fail';
}

/**
 * A request. No penalty: Dovecot would see successes where Stopgap feigns failures, and Stopgap limits failed logins by
 * network itself.
 */
function requestOf(id: number, { name, password, client }: Login): string {
  const { ip, localIp, secure } = client;
  const response = Buffer.from(`\0${name}\0${password}`, 'utf8').toString('base64');
  return [
    'AUTH',
    id,
    'PLAIN',
    'service=smtp',
    'nologin',
    'no-penalty',
    `session=${OWN_SESSION}${randomBytes(9).toString('base64url')}`,
    `lip=${localIp}`,
    ...(ip === '' ? [] : [`rip=${ip}`]),
    ...(secure ? ['secured'] : []),
    // It has to be the last.
    `resp=${response}`,
  ].join('\t');
}

/** The account that Dovecot says has logged in: it may add a domain, or change the name. */
function accountOf(parameters: readonly string[], name: string): string | undefined {
  const user = parameters.find((one) => one.startsWith('user='))?.slice(5);
  return possibleAccount(user === undefined ? name : unescaped(user));
}

const ESCAPES: Readonly<Record<string, string>> = { '0': '\0', '1': '\u0001', t: '\t', n: '\n', r: '\r' };

function unescaped(text: string): string {
  // eslint-disable-next-line no-control-regex -- it is what Dovecot escapes with
  return text.replace(/\u0001(.)/g, (_, code: string) => ESCAPES[code] ?? code);
}

function nameOf(address: DovecotAddress): string {
  if ('path' in address) return address.path;
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
