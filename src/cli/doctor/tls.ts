import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { TlsSettings } from '../../config.js';
import { formatListen, listensOnLoopback } from '../../config.js';
import type { ListenAddress } from '../../config.js';
import { messageOf } from '../../kernel/errors.js';
import { DAY, formatInstant } from '../../kernel/time.js';
import { ListenerCertificate } from '../../smtp/tls.js';
import type { Findings } from './findings.js';
import type { World } from './world.js';

/** Authorities renew thirty days before the end: what has half of that left was not renewed. */
const SOON = 14 * DAY;

interface Listener {
  readonly what: 'submission' | 'inbound';
  readonly listen: ListenAddress;
  readonly tls: TlsSettings;
  readonly allowInsecureAuth?: boolean;
}

/** The certificate of each SMTP listener: readable, matching its key, in its time, for the name that clients ask for. */
export async function checkTls(findings: Findings, world: World): Promise<void> {
  const { submission, inbound } = world.loaded.config.smtp;
  const listeners: Listener[] = [
    ...submission.map((one) => ({ what: 'submission' as const, ...one })),
    ...inbound.map((one) => ({ what: 'inbound' as const, ...one })),
  ];
  for (const listener of listeners) await checkListener(findings, world, listener);
}

async function checkListener(findings: Findings, world: World, listener: Listener): Promise<void> {
  const { what, listen, tls, allowInsecureAuth } = listener;
  const name = `${what} ${formatListen(listen)}`;
  const isLocal = listensOnLoopback(listen);
  if (allowInsecureAuth === true && !isLocal)
    findings.warning(`${name}: passwords may come in clear`, 'set allowInsecureAuth: false');
  if (tls.mode === 'none') {
    findings.ok(`${name}: no TLS, as configured`);
  } else if (tls.cert === undefined || tls.key === undefined) {
    const made = path.join(world.loaded.config.data, 'tls', 'self-signed.crt');
    const when = existsSync(made) ? '' : ', made at the first start';
    if (isLocal) findings.ok(`${name}: self-signed${when}`);
    else
      findings.warning(`${name}: self-signed${when}: clients will not trust it`, 'name tls.cert and tls.key');
  } else {
    await checkCertificate(findings, world, name, { cert: tls.cert, key: tls.key });
  }
}

async function checkCertificate(
  findings: Findings,
  { loaded, clock }: World,
  name: string,
  files: { readonly cert: string; readonly key: string },
): Promise<void> {
  const { hostname } = loaded.config.smtp;
  try {
    await new ListenerCertificate({ files, clock }).load();
  } catch (error) {
    findings.problem(
      `${name}: ${messageOf(error)}`,
      'name a certificate and the key that belongs to it, both PEM',
    );
    return;
  }
  const pem = readFileSync(files.cert, 'utf8');
  const leaf = new X509Certificate(pem);
  const [from, to, now] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo), clock.now()];
  const text = `${name}: ${files.cert}`;
  let isGood = true;
  const bad = (outcome: 'problem' | 'warning', detail: string, remedy: string): void => {
    isGood = false;
    findings[outcome](`${text} ${detail}`, remedy);
  };
  if (now < from) bad('problem', `is not valid before ${formatInstant(from)}`, 'look at the clock, or wait');
  if (now >= to) bad('problem', `has ended at ${formatInstant(to)}`, 'renew it');
  else if (to - now < SOON)
    bad(
      'warning',
      `ends at ${formatInstant(to)}, in ${Math.floor((to - now) / DAY)} days`,
      'see why it was not renewed',
    );
  if (leaf.checkHost(hostname) === undefined) {
    const names = leaf.subjectAltName ?? leaf.subject.replaceAll('\n', ', ');
    bad(
      'warning',
      `is for ${names}, not for smtp.hostname ${hostname}`,
      'get one for that name, or set smtp.hostname to the name that clients use',
    );
  }
  const certificates = pem.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0;
  if (certificates === 1 && leaf.issuer !== leaf.subject)
    bad(
      'warning',
      'holds no chain',
      'use the file that has the intermediate certificates too (fullchain.pem)',
    );
  if (isGood) findings.ok(`${text} is for ${hostname}, until ${formatInstant(to)}`);
}
