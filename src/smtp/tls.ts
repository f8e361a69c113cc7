import { createPrivateKey, X509Certificate } from 'node:crypto';
import path from 'node:path';
import type { SecureContext } from 'node:tls';
import { createSecureContext } from 'node:tls';
import { readIfThere, writePrivateFile } from '../accounts/private-file.js';
import { WatchedFile } from '../accounts/watched-file.js';
import { messageOf, StopgapError } from '../kernel/errors.js';
import type { Clock, Instant, Milliseconds } from '../kernel/time.js';
import { DAY, SECOND } from '../kernel/time.js';

/** What smtp-server and Node's TLS take, at the start and in `updateSecureContext`. */
export interface SecureOptions {
  readonly cert: string;
  readonly key: string;
  readonly minVersion: 'TLSv1.2';
}

export interface CertificateFiles {
  /** Paths of PEM files. */
  readonly cert: string;
  readonly key: string;
}

export interface ListenerCertificateOptions {
  readonly files: CertificateFiles;
  /**
   * Set if Stopgap makes the certificate itself: the folder that keeps it, and the name it is for. Stopgap renews it in
   * time.
   */
  readonly selfSigned?: { readonly directory: string; readonly hostname: string } | undefined;
  readonly clock: Clock;
  /** Called with what holds from now on. */
  readonly onChange?: (options: SecureOptions) => void;
  /** Called for new files that cannot be used: the old certificate stays in force. */
  readonly onRefused?: (reason: string) => void;
  /** Called when a file that was gone or unreadable is there again, unchanged. */
  readonly onRestored?: () => void;
  /** How often the files are looked at. 10 s by default. */
  readonly interval?: Milliseconds;
}

/** The certificate of a listener, picked up again when its files change. */
export class ListenerCertificate {
  readonly #options: ListenerCertificateOptions;
  readonly #cert: WatchedFile<string>;
  readonly #key: WatchedFile<string>;
  #current: Inspected | undefined;
  #timer: NodeJS.Timeout | undefined;
  #refused: string | undefined;

  constructor(options: ListenerCertificateOptions) {
    this.#options = options;
    const watched = (file: string): WatchedFile<string> =>
      new WatchedFile({
        path: file,
        parse: (text) => text,
        onRefused: (reason) => this.#refuse(reason.startsWith(file) ? reason : `${file}: ${reason}`),
        onRestored: () => {
          this.#refused = undefined;
          this.#options.onRestored?.();
        },
      });
    this.#cert = watched(options.files.cert);
    this.#key = watched(options.files.key);
  }

  get secure(): SecureOptions {
    return this.#loaded.secure;
  }

  /** When the certificate ends, for metrics. */
  get expiresAt(): Instant {
    return this.#loaded.expiresAt;
  }

  /** What a client gets that asks for this name; undefined if it is for other names. */
  contextFor(name: string): SecureContext | undefined {
    const { leaf, context } = this.#loaded;
    return leaf.checkHost(name) === undefined ? undefined : context;
  }

  get #loaded(): Inspected {
    if (this.#current === undefined) throw new Error(`${this.#options.files.cert} was not loaded`);
    return this.#current;
  }

  /** @throws StopgapError naming the file if certificate or key cannot be used */
  async load(): Promise<this> {
    const { cert, key } = this.#options.files;
    for (const [file, watched] of [
      [cert, this.#cert],
      [key, this.#key],
    ] as const) {
      await watched.load().catch((thrown: unknown) => {
        throw new StopgapError('invalid-input', `${file}: cannot be read: ${messageOf(thrown)}`);
      });
    }
    this.#current = inspect(this.#cert.current, this.#key.current, this.#options.files);
    return this;
  }

  /** Looks whether the files have changed; resolves to true if it took over a new certificate. */
  async check(): Promise<boolean> {
    const { selfSigned, clock, files } = this.#options;
    if (selfSigned !== undefined) {
      await ensureSelfSigned(selfSigned.directory, selfSigned.hostname, clock).catch((thrown: unknown) =>
        this.#refuse(messageOf(thrown)),
      );
    }
    const changed = [await this.#cert.check(), await this.#key.check()].includes(true);
    const { secure } = this.#loaded;
    if (!changed && secure.cert === this.#cert.current && secure.key === this.#key.current) return false;
    try {
      // Two files never change at once: until they match, what was in force stays.
      this.#current = inspect(this.#cert.current, this.#key.current, files);
    } catch (thrown) {
      this.#refuse(messageOf(thrown));
      return false;
    }
    this.#refused = undefined;
    this.#options.onChange?.(this.#current.secure);
    return true;
  }

  /** Checks at intervals, without keeping the process alive. */
  start(): void {
    this.#timer ??= setInterval(() => void this.check(), this.#options.interval ?? 10 * SECOND).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #refuse(reason: string): void {
    if (reason === this.#refused) return;
    this.#refused = reason;
    this.#options.onRefused?.(reason);
  }
}

/** A PEM file holds some kilobytes. A larger one would block the event loop while it is parsed. */
const LONGEST = 1024 * 1024;

/** A certificate that can be used. */
interface Inspected {
  readonly secure: SecureOptions;
  readonly expiresAt: Instant;
  readonly leaf: X509Certificate;
  readonly context: SecureContext;
}

function inspect(cert: string, key: string, files: CertificateFiles): Inspected {
  for (const [file, text] of [
    [files.cert, cert],
    [files.key, key],
  ] as const)
    if (text.length > LONGEST)
      throw unusable(file, `has more than ${LONGEST} characters: it is another file`);
  const leaf = parseCertificate(cert);
  if (leaf === undefined) throw unusable(files.cert, 'is no PEM certificate');
  let matches: boolean;
  try {
    matches = leaf.checkPrivateKey(createPrivateKey(key));
  } catch {
    // OpenSSL's message can contain anything; the key must never reach a log.
    throw unusable(files.key, 'is no PEM private key without a passphrase');
  }
  if (!matches) throw unusable(files.key, `does not belong to the certificate in ${files.cert}`);
  const secure = { cert, key, minVersion: 'TLSv1.2' } as const;
  try {
    return { secure, expiresAt: Date.parse(leaf.validTo), leaf, context: createSecureContext(secure) };
  } catch (thrown) {
    throw unusable(files.cert, `cannot be used: ${messageOf(thrown)}`);
  }
}

function unusable(file: string, reason: string): StopgapError {
  return new StopgapError('invalid-input', `${file}: ${reason}`);
}

function parseCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined; // X509Certificate has no other way to say "not a certificate"
  }
}

/** The longest that clients accept (Apple's limit for certificates that an administrator trusts). */
const LIFE: Milliseconds = 825 * DAY;
const RENEW_BEFORE: Milliseconds = 14 * DAY;
/** For clients whose clock is behind. */
const BACKDATED: Milliseconds = DAY;

/**
 * Makes a self-signed certificate for `hostname`, localhost and the loopback addresses, unless a good one is there
 * already. A new one is made if it has less than two weeks left, is for another name or does not match its key.
 *
 * @param directory is created if it does not exist; the key in it is readable by its owner only
 */
export function ensureSelfSigned(
  directory: string,
  hostname: string,
  clock: Clock,
): Promise<CertificateFiles> {
  const before = lastMade.get(directory) ?? Promise.resolve(undefined);
  const made = before.then(() => makeSelfSigned(directory, hostname, clock));
  const settled = made.then(
    () => undefined,
    () => undefined, // the caller gets the error
  );
  lastMade.set(directory, settled);
  return made;
}

/**
 * Certificates are made one after the other: several listeners share a directory, and two at once would mix their keys.
 */
const lastMade = new Map<string, Promise<undefined>>();

async function makeSelfSigned(directory: string, hostname: string, clock: Clock): Promise<CertificateFiles> {
  const files = {
    cert: path.join(directory, 'self-signed.crt'),
    key: path.join(directory, 'self-signed.key'),
  };
  const now = clock.now();
  if (await isGood(files, hostname, now)) return files;
  // A tenth of all that a start loads.
  const { generate } = await import('selfsigned');
  const names = [...new Set([hostname, 'localhost'])];
  const pem = await generate([{ name: 'commonName', value: hostname }], {
    keyType: 'ec',
    curve: 'P-256',
    algorithm: 'sha256',
    notBeforeDate: new Date(now - BACKDATED),
    notAfterDate: new Date(now - BACKDATED + LIFE),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: [
          ...names.map((value) => ({ type: 2, value }) as const),
          { type: 7, ip: '127.0.0.1' },
          { type: 7, ip: '::1' },
        ],
      },
    ],
  });
  // The key first: a certificate without its key would look finished.
  await writePrivateFile(files.key, pem.private);
  await writePrivateFile(files.cert, pem.cert);
  return files;
}

async function isGood(files: CertificateFiles, hostname: string, now: Instant): Promise<boolean> {
  const [cert, key] = await Promise.all([readIfThere(files.cert), readIfThere(files.key)]);
  if (cert === undefined || key === undefined) return false;
  const leaf = parseCertificate(cert);
  if (leaf?.checkHost(hostname) === undefined) return false;
  if (Date.parse(leaf.validTo) - now < RENEW_BEFORE) return false;
  // It was made while the clock was ahead.
  if (Date.parse(leaf.validFrom) > now) return false;
  try {
    return leaf.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false; // a broken key: a new pair is made
  }
}
