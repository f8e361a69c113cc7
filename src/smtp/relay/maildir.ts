import { randomBytes } from 'node:crypto';
import { access, constants, open, rename, unlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { giveMade, makePrivateDirectory } from '../../accounts/private-file.js';
import { messageOf } from '../../kernel/errors.js';
import { Trouble } from '../../log/trouble.js';
import { systemClock } from '../../runtime/clock.js';
import { sameForAll, withdrawn } from './reply.js';
import { WireEnvelope, WireRecipient } from './commands.js';
import type {
  Delivery,
  MessageBody,
  Relay,
  RelayEnvelope,
  RelayOptions,
  RelayRecipient,
  RelayTransaction,
  Reply,
} from './port.js';
import { RelayUnreachable } from './port.js';
import { NO_RECIPIENTS } from './transaction.js';

const TAKEN: Reply = { code: 250, text: '2.1.5 ok' };
const NO_SUCH_SYNTAX: Reply = { code: 553, text: '5.1.3 the address has no domain or no local part' };

/**
 * Puts every message into one Maildir (https://cr.yp.to/proto/maildir.html): written to `tmp`, synced, moved to `new`,
 * and the directory synced, so that a message answered with 250 survives a power cut. One file for each message, for
 * any number of recipients: `Return-Path` (RFC 5321 section 4.4: delivery makes the final one) and one `Envelope-To`
 * for each recipient come before its content. Files have mode 0600, directories 0700.
 */
export class MaildirRelay implements Relay {
  /** A Maildir sends no notifications. */
  readonly offers = { eightBit: true, utf8: true, dsn: false };
  readonly sessions = { open: 0, busy: 0, unanswered: 0 };
  readonly #trouble: Trouble;
  readonly #dir: string;
  readonly #host: string;
  #delivered = 0;
  #made = false;
  #closed = false;
  #sync: Promise<void> | undefined;
  #nextSync: Promise<void> | undefined;
  readonly #writing = new Set<Promise<unknown>>();

  constructor(dir: string, { hostname, clock = systemClock, onNotice, onReached }: RelayOptions) {
    this.#dir = dir;
    this.#trouble = new Trouble(clock, {
      began: (reason) => onNotice?.(`the Maildir takes no messages: ${reason}`),
      over() {
        onNotice?.('the Maildir takes messages again');
        onReached?.();
      },
    });
    // The convention for host names in file names: these two characters are not allowed in one.
    this.#host = hostname.replaceAll('/', '\\057').replaceAll(':', '\\072');
  }

  begin(envelope: RelayEnvelope): RelayTransaction {
    return new MaildirTransaction(new WireEnvelope(envelope), this);
  }

  get healthy(): boolean {
    return !this.#trouble.on;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Writes a file and removes it: a disk may be full even if it is writable. */
  async probe(): Promise<{ ok: boolean; detail: string }> {
    const file = join(this.#dir, 'tmp', this.#uniqueName());
    try {
      await this.#makeDirectories();
      await access(join(this.#dir, 'new'), constants.W_OK);
      await writeFile(file, PROBE, { mode: 0o600, flush: true });
      this.#trouble.worked();
      return { ok: true, detail: `${this.#dir} can be written to` };
    } catch (error) {
      return { ok: false, detail: `Maildir: ${messageOf(error)}` };
    } finally {
      await unlink(file).catch(() => undefined); // it may never have come to exist
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#writing);
  }

  /** Writes one message: returns the answer, or undefined if `confirm` said no. */
  async deliver(head: Buffer, body: MessageBody, confirm: () => boolean): Promise<Reply | undefined> {
    const write = this.#write(head, body, confirm);
    this.#writing.add(write);
    try {
      return await write;
    } finally {
      this.#writing.delete(write);
    }
  }

  async #makeDirectories(): Promise<void> {
    for (const name of ['tmp', 'new', 'cur']) {
      makePrivateDirectory(join(this.#dir, name));
    }
    await syncDirectory(this.#dir);
    await syncDirectory(dirname(resolve(this.#dir)));
    this.#made = true;
  }

  async #write(head: Buffer, body: MessageBody, confirm: () => boolean): Promise<Reply | undefined> {
    const name = this.#uniqueName();
    const temporary = join(this.#dir, 'tmp', name);
    try {
      if (!this.#made) await this.#makeDirectories();
      await writeSynced(temporary, head, body);
      if (!confirm()) {
        await unlink(temporary);
        return undefined;
      }
      await rename(temporary, join(this.#dir, 'new', name));
      await this.#syncNew();
      this.#trouble.worked();
      return { code: 250, text: `2.0.0 delivered as ${name}` };
    } catch (error) {
      this.#made = false; // somebody may have removed them
      // The partial file is useless; it may not exist.
      await unlink(temporary).catch(() => undefined);
      // Only the file system's errors are answers; the rest is the caller's (confirm, the spool).
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
      this.#trouble.failed((error as NodeJS.ErrnoException).code!);
      return failure(error as NodeJS.ErrnoException);
    }
  }

  /**
   * Syncs `new`: one sync serves all files moved before it began. A sync under way may have begun too early, so later
   * files share the next one.
   */
  #syncNew(): Promise<void> {
    this.#nextSync ??= (this.#sync ?? Promise.resolve()).then(() => {
      this.#nextSync = undefined;
      const sync = syncDirectory(join(this.#dir, 'new'));
      // A failure for the waiting files is no reason for the next sync not to try.
      this.#sync = sync.catch(() => undefined);
      return sync;
    });
    return this.#nextSync;
  }

  /** `<seconds>.M<microseconds>P<pid>Q<deliveries>R<random>.<host>` */
  #uniqueName(): string {
    const now = Date.now();
    const micros = (now % 1000) * 1000;
    const random = randomBytes(4).toString('hex');
    return `${Math.floor(now / 1000)}.M${micros}P${process.pid}Q${++this.#delivered}R${random}.${this.#host}`;
  }
}

class MaildirTransaction implements RelayTransaction {
  readonly #taken: RelayRecipient[] = [];
  readonly #envelope: WireEnvelope;
  readonly #relay: MaildirRelay;

  constructor(envelope: WireEnvelope, relay: MaildirRelay) {
    this.#envelope = envelope;
    this.#relay = relay;
  }

  async offer(recipient: RelayRecipient): Promise<Reply> {
    const { address } = new WireRecipient(recipient).recipient;
    if (this.#relay.closed) throw new RelayUnreachable('the relay is closed');
    if (!/^(?:"[^"]*"|[^\s"]+)@[^\s@]+$/.test(address)) return NO_SUCH_SYNTAX;
    if (!this.#taken.some((taken) => taken.address === address)) this.#taken.push(recipient);
    return TAKEN;
  }

  async transmit(body: MessageBody, confirm: () => boolean): Promise<Delivery> {
    const results = this.#taken.map((recipient) => ({ recipient, reply: TAKEN }));
    if (results.length === 0) return sameForAll([], NO_RECIPIENTS);
    const lines = [`Return-Path: <${this.#envelope.envelope.returnPath}>`];
    for (const { address } of this.#taken) lines.push(`Envelope-To: ${address}`);
    const head = Buffer.from(`${lines.join('\r\n')}\r\n`, 'utf8');
    const reply = await this.#relay.deliver(head, body, confirm);
    return reply === undefined ? withdrawn(results) : sameForAll(results, reply);
  }

  clientGone(): void {
    // A disk does not keep anybody waiting for minutes.
  }

  end(): void {
    this.#taken.length = 0;
  }
}

/** One block of a file system; a full one has no room for it. */
const PROBE = Buffer.alloc(4096, ' ');

async function writeSynced(path: string, head: Buffer, body: MessageBody): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    giveMade(file.fd, dirname(path));
    if (body.buffers !== undefined) await file.writeFile(Buffer.concat([head, ...body.buffers]));
    else {
      await file.writeFile(head);
      for await (const chunk of body.open()) await file.writeFile(chunk);
    }
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

const NO_SPACE = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EMFILE', 'ENFILE']);

/** 452 where room may come back by itself (RFC 5321 section 4.2.2), else 451; never which file it was. */
function failure({ code = '' }: NodeJS.ErrnoException): Reply {
  return NO_SPACE.has(code)
    ? { code: 452, text: `4.3.1 there is no room for the message (${code})` }
    : { code: 451, text: `4.3.0 the message could not be written (${code})` };
}
