import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { createTar } from 'nanotar';
import { loadConfig } from '../../config.js';
import { fileFault } from '../../accounts/private-file.js';
import { messageOf, StopgapError } from '../../kernel/errors.js';
import { formatInstant } from '../../kernel/time.js';
import { openLogKey, Pseudonyms } from '../../log/pseudonyms.js';
import type { ApiClient, ClientOption } from '../client.js';
import { connect } from '../client.js';
import { examine } from '../doctor/examine.js';
import type { CliIo } from '../io.js';
import type { Part, Source } from './parts.js';
import { PARTS } from './parts.js';
import { secretsOf, withoutSecrets } from './secrets.js';

export interface BundleOptions extends ClientOption {
  readonly addresses: 'hashed' | 'plain';
}

/** What became of one part: its text, or why there is none. */
export interface Gathered {
  readonly part: Part;
  readonly text: string | undefined;
  readonly missing: string | undefined;
}

/** Gathers every part that can be had. @throws ConfigError: without a configuration there is nothing to gather from */
export async function gather(io: CliIo, options: BundleOptions): Promise<readonly Gathered[]> {
  const { config: file, url, addresses } = options;
  const loaded = loadConfig({ file, env: io.env, cwd: io.cwd, checkFiles: false });
  const { config } = loaded;
  const names = addresses === 'hashed' ? new Pseudonyms(await openLogKey(config.log.key)) : undefined;
  let client: Promise<ApiClient> | undefined;
  const source: Source = {
    io,
    url,
    loaded,
    names,
    client: () => (client ??= connect(io, options)),
    findings: () => examine(io, { ...(file && { config: file }), ...(url && { url }) }),
  };
  const gathered: Gathered[] = [];
  for (const part of PARTS) gathered.push(await made(part, source));
  const token = await client?.then(
    (one) => one.token,
    () => undefined, // it was told where it was needed
  );
  const secrets = secretsOf(config, token);
  return gathered.map((one) => ({ ...one, text: one.text && withoutSecrets(one.text, secrets) }));
}

async function made(part: Part, source: Source): Promise<Gathered> {
  try {
    return { part, text: await part.make(source), missing: undefined };
  } catch (error) {
    return { part, text: undefined, missing: messageOf(error) };
  }
}

/** Writes the archive, for its owner alone. @throws StopgapError where the file exists already */
export function writeBundle(
  file: string,
  gathered: readonly Gathered[],
  options: BundleOptions,
  now: number,
): void {
  const folder = `stopgap-support-${stamp(now)}`;
  const attrs = { mode: '600', mtime: now, uid: 0, gid: 0 };
  const texts = gathered.flatMap(({ part, text }) =>
    text === undefined ? [] : [[part.file, text] as const],
  );
  const files = [['README.txt', readme(gathered, options, now)] as const, ...texts];
  const tar = createTar(
    files.map(([name, data]) => ({ name: `${folder}/${name}`, data })),
    { attrs },
  );
  try {
    writeFileSync(file, gzipSync(tar), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new StopgapError(
      'conflict',
      `${file} ${fileFault(error, 'name another file with --out', 'written')}`,
    );
  }
}

export function defaultName(now: number): string {
  return `stopgap-support-${stamp(now)}.tar.gz`;
}

function stamp(now: number): string {
  return formatInstant(now).replace(/[-:]|\.\d+/g, '');
}

function readme(gathered: readonly Gathered[], { addresses }: BundleOptions, now: number): string {
  const hidden =
    addresses === 'hashed'
      ? 'Accounts, addresses, domains, EHLO names and IP addresses are hashed (h:…); who has the data directory can find\n' +
        'out which name a hash stands for: stopgap log hash NAME'
      : 'Accounts, addresses, domains, EHLO names and IP addresses stand in it as they are.';
  const line = ({ part, missing }: Gathered): string =>
    `  ${part.file.padEnd(20)}${missing === undefined ? part.about : `not here: ${missing.split('\n')[0]}`}`;
  return [
    `Made by stopgap support-bundle at ${formatInstant(now)}.`,
    '',
    ...gathered.map(line),
    '',
    hidden,
    'Passwords, tokens and keys are left out. Look through it before you send it.',
    '',
  ].join('\n');
}
