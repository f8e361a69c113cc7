import { setTimeout as pause } from 'node:timers/promises';
import type { Milliseconds } from '../../kernel/time.js';
import type { Login, Outcome, Target } from './client.js';
import { MailClient } from './client.js';

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
  /** Messages that the thief tries at the most. */
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
  /** After how long the first refusal came; undefined where none came. */
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
