import { setTimeout as pause } from 'node:timers/promises';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { Milliseconds } from '../../kernel/time.js';

/** The EHLO name of the colleagues' machines. */
export const OFFICE = 'office.example.com';

/** Between the messages of two colleagues. */
const APART: Milliseconds = 400;

export interface SimulationOptions {
  readonly target: Target;
  readonly victim: Login;
  /** Each writes a message while the thief is at it, and one when the thief is done: none of these must be refused. */
  readonly colleagues: readonly Login[];
  /** Sessions that the thief opens at once. */
  readonly sessions: number;
  /** Messages that the thief tries at most. */
  readonly attempts: number;
  /** The thief gives up after so many refusals in a row. */
  readonly patience: number;
  readonly longest: Milliseconds;
  readonly rcptDomain: string;
  readonly onProgress: (so: Progress) => void;
}

export interface Progress {
  /** Milliseconds since the thief's first attempt. */
  readonly elapsed: Milliseconds;
  readonly through: number;
  readonly refused: number;
  readonly colleaguesSent: number;
}

export interface SimulationResult extends Progress {
  /** After how long the first refusal came; undefined if none came. */
  readonly containedAfter: Milliseconds | undefined;
  readonly firstRefusal: Outcome | undefined;
  /** What the thief is told who logs in again with the right password. */
  readonly loginAfter: Outcome | undefined;
  readonly colleaguesRefused: number;
  /** The thief never got anywhere: wrong port, wrong password, blocked already. */
  readonly neverIn: Outcome | undefined;
}

/** Normal traffic and one account that a thief uses, through real SMTP, until the thief is contained or gives up. */
export async function runSimulation(options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(options);
  return simulation.run();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #began = performance.now();
  #tried = 0;
  #through = 0;
  #refused = 0;
  #inARow = 0;
  #over = false;
  #containedAfter: Milliseconds | undefined;
  #firstRefusal: Outcome | undefined;
  #neverIn: Outcome | undefined;
  #colleaguesSent = 0;
  #colleaguesRefused = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
  }

  async run(): Promise<SimulationResult> {
    const { sessions, colleagues, longest, onProgress } = this.#options;
    const ticker = setInterval(() => onProgress(this.#progress()), 500);
    const deadline = setTimeout(() => (this.#over = true), longest);
    const office = colleagues.map((login, number) => this.#write(login, number * APART));
    try {
      await Promise.all(Array.from({ length: sessions }, () => this.#spam()));
      this.#over = true;
      await Promise.all(office);
      await Promise.all(colleagues.map((login) => this.#write(login, 0)));
    } finally {
      clearInterval(ticker);
      clearTimeout(deadline);
    }
    const loginAfter = this.#containedAfter === undefined ? undefined : await this.#logInAgain();
    return {
      ...this.#progress(),
      containedAfter: this.#containedAfter,
      firstRefusal: this.#firstRefusal,
      loginAfter,
      colleaguesRefused: this.#colleaguesRefused,
      neverIn: this.#neverIn,
    };
  }

  #progress(): Progress {
    return {
      elapsed: performance.now() - this.#began,
      through: this.#through,
      refused: this.#refused,
      colleaguesSent: this.#colleaguesSent,
    };
  }

  /** One of the thief's sessions: as fast as it goes, a new session when one is lost. */
  async #spam(): Promise<void> {
    const { target, victim, rcptDomain } = this.#options;
    let client: MailClient | undefined;
    while (this.#maySpam()) {
      if (client === undefined || !client.alive) {
        const opened = await MailClient.open(target, victim);
        if (!(opened instanceof MailClient)) {
          if (this.#through === 0) {
            this.#neverIn ??= opened;
            return;
          }
          this.#note(opened);
          continue;
        }
        client = opened;
      }
      const number = ++this.#tried;
      this.#note(await client.send(victim.user, `victim-${number}@${rcptDomain}`));
    }
    client?.close();
  }

  #maySpam(): boolean {
    const { attempts, patience } = this.#options;
    return !this.#over && this.#tried < attempts && this.#inARow < patience;
  }

  #note(outcome: Outcome): void {
    if (outcome.code === 250) {
      this.#through++;
      this.#inARow = 0;
      return;
    }
    this.#refused++;
    this.#inARow++;
    this.#firstRefusal ??= outcome;
    this.#containedAfter ??= performance.now() - this.#began;
  }

  /** One message of a colleague. More of them within minutes would be what rules look for, and no colleague's habit. */
  async #write({ user, pass }: Login, wait: Milliseconds): Promise<void> {
    const { target, rcptDomain } = this.#options;
    await pause(wait);
    const client = await MailClient.open({ ...target, ehlo: OFFICE }, { user, pass });
    if (!(client instanceof MailClient)) {
      this.#colleaguesRefused++;
      return;
    }
    const { code } = await client.send(user, `customer@${rcptDomain}`);
    if (code === 250) this.#colleaguesSent++;
    else this.#colleaguesRefused++;
    client.close();
  }

  async #logInAgain(): Promise<Outcome> {
    const opened = await MailClient.open(this.#options.target, this.#options.victim);
    if (!(opened instanceof MailClient)) return opened;
    opened.close();
    return { stage: 'auth', code: 235, text: 'the login was let in' };
  }
}

export interface Login {
  readonly user: string;
  readonly pass: string;
}

/** Where to send, and as which EHLO name. */
export interface Target {
  readonly host: string;
  readonly port: number;
  readonly ehlo: string;
}

/** The result of one attempt: an SMTP code, or 0 if there was no answer. */
interface Outcome {
  readonly stage: 'connect' | 'auth' | 'send';
  readonly code: number;
  readonly text: string;
}

/** One SMTP session as a mail program has it. It is nodemailer's, so that what is shown is what a stranger's client sees. */
export class MailClient {
  readonly #connection: SMTPConnection;
  #dead = false;

  private constructor(target: Target) {
    this.#connection = new SMTPConnection({
      host: target.host,
      port: target.port,
      name: target.ehlo,
      // On loopback a self-signed certificate is what one expects.
      tls: { rejectUnauthorized: false },
      connectionTimeout: 5_000,
      greetingTimeout: 5_000,
      socketTimeout: 30_000,
    });
    this.#connection.on('error', () => (this.#dead = true));
    this.#connection.on('end', () => (this.#dead = true));
  }

  get alive(): boolean {
    return !this.#dead;
  }

  /** Connects and logs in. */
  static async open(target: Target, login: Login): Promise<MailClient | Outcome> {
    const client = new MailClient(target);
    const connection = client.#connection;
    try {
      await new Promise<void>((resolve, reject) => {
        connection.once('error', reject);
        connection.connect((error) => (error ? reject(error) : resolve()));
      });
    } catch (error) {
      connection.close();
      return outcomeOf('connect', error);
    }
    try {
      await new Promise<void>((resolve, reject) => {
        connection.login({ credentials: login }, (error) => (error ? reject(error) : resolve()));
      });
    } catch (error) {
      connection.close();
      return outcomeOf('auth', error);
    }
    return client;
  }

  /** Sends one message to one recipient. */
  async send(from: string, to: string): Promise<Outcome> {
    const text = `From: <${from}>\r\nTo: <${to}>\r\nSubject: simulated\r\n\r\nThis message is part of a simulation.\r\n`;
    try {
      const { response } = await new Promise<{ response?: string | undefined }>((resolve, reject) => {
        this.#connection.once('error', reject);
        this.#connection.send({ from, to: [to] }, text, (error, info) => {
          this.#connection.off('error', reject);
          if (error) reject(error);
          else resolve(info ?? {});
        });
      });
      return { stage: 'send', code: 250, text: response ?? '' };
    } catch (error) {
      const outcome = outcomeOf('send', error);
      if (outcome.code === 0) this.#dead = true;
      else await this.#reset();
      return outcome;
    }
  }

  close(): void {
    this.#dead = true;
    this.#connection.close();
  }

  /** RFC 5321 section 4.1.1.5: a transaction that was refused is taken back before the next. */
  async #reset(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#connection.reset((error) => {
        if (error) this.#dead = true;
        resolve();
      });
    });
  }
}

function outcomeOf(stage: Outcome['stage'], error: unknown): Outcome {
  const { responseCode, response, message } = error as {
    responseCode?: number;
    response?: string;
    message: string;
  };
  return { stage, code: responseCode ?? 0, text: response ?? message };
}
