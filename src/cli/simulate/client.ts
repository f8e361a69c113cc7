import SMTPConnection from 'nodemailer/lib/smtp-connection';

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

/** What came of one attempt: an SMTP code, or 0 where there was no answer. */
export interface Outcome {
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
