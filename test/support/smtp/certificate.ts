import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Clock } from '../../../src/kernel/time.js';
import { DAY } from '../../../src/kernel/time.js';
import { ensureSelfSigned } from '../../../src/smtp/tls.js';

const made = new Map<string, Promise<readonly [name: string, text: string][]>>();

/**
 * Puts there what a start would make for its listeners: a self-signed certificate of that day. To load what makes one, and
 * to make it, is a tenth of a start; the tests of one process share it.
 */
export async function withCertificate(data: string, hostname: string, clock: Clock): Promise<void> {
  const key = `${hostname} ${Math.floor(clock.now() / DAY)}`;
  let files = made.get(key);
  if (files === undefined) made.set(key, (files = make(hostname, clock)));
  const directory = path.join(data, 'tls');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const [name, text] of await files) await writeFile(path.join(directory, name), text, { mode: 0o600 });
}

async function make(hostname: string, clock: Clock): Promise<readonly [name: string, text: string][]> {
  const directory = await mkdtemp(path.join(tmpdir(), 'stopgap-certificate-'));
  const files = Object.values(await ensureSelfSigned(directory, hostname, clock)) as string[];
  const texts = await Promise.all(
    files.map(async (file) => [path.basename(file), await readFile(file, 'utf8')] as [string, string]),
  );
  await rm(directory, { recursive: true });
  return texts;
}
