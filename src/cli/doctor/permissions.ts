import path from 'node:path';
import type { Stats } from 'node:fs';
import { accessSync, constants, statSync } from 'node:fs';
import type { Config } from '../../config.js';
import type { Findings, World } from './findings.js';
import { nearestThere } from './findings.js';

const GROUP_READS = 0o040;
const OTHERS = 0o007;
const OTHERS_READ = 0o004;
/** Of a container alone: Docker shows its secrets there, to be read by everybody in it. */
const CONTAINER_SECRETS = '/run/secrets/';

/** Checks that only the owner can read secrets, and that the service can write its files. */
export function checkPermissions(findings: Findings, { loaded }: World): void {
  const { config, file, confidential } = loaded;
  const { data } = config;
  const before = findings.list.length;
  checkData(findings, data);
  const service = statSync(data, { throwIfNoEntry: false });
  const written: [what: string, place: string | undefined][] = [
    ['the users file', config.smtp.auth.backend === 'file' ? config.smtp.auth.users : undefined],
    ['the tokens file', config.api.tokens],
    ['the file of administrators', config.api.admins],
    ['the credentials of the evaluation', path.join(data, 'demo-credentials.txt')],
    ['the key of the log', config.log.key],
    ['the event store', config.store.kind === 'sqlite' ? config.store.file : undefined],
  ];
  const read: typeof written = [
    ['the secret of api.openId', config.api.openId?.clientSecretFile],
    ...[...config.smtp.submission, ...config.smtp.inbound].flatMap(({ tls: { key = [] } }) =>
      key.map((file): [string, string] => ['a private key', file]),
    ),
  ];
  if (confidential.length > 0)
    read.push([`the configuration with its secrets (${confidential.join(', ')})`, file]);
  const seen = new Set<string>();
  const look = (
    places: typeof written,
    { isSecret, isWritten }: { readonly isSecret: boolean; readonly isWritten: boolean },
  ): void => {
    for (const [what, place] of places) {
      const stat = place === undefined ? undefined : statSync(place, { throwIfNoEntry: false });
      if (place === undefined || stat === undefined || seen.has(place)) continue;
      seen.add(place);
      const thing: Thing = { what, place, stat, isWritten, service, data };
      if (isSecret) checkSecret(findings, thing);
      checkOwner(findings, thing);
    }
  };
  look(written, { isSecret: true, isWritten: true });
  look(read, { isSecret: true, isWritten: false });
  look(writtenOf(config), { isSecret: false, isWritten: true });
  look(readOf(config, file), { isSecret: false, isWritten: false });
  if (findings.list.length === before)
    findings.ok(`what is secret is its owner's alone, and ${data} can be written to`);
}

/** What the service reads, and what holds no secret. */
function readOf(
  { rules, overrides, geoip, smtp }: Config,
  file: string | undefined,
): [what: string, place: string | undefined][] {
  const { senders, submission, inbound } = smtp;
  return [
    ['the configuration', file],
    ['the rules file', rules],
    ['the overrides file', overrides],
    ['the map of senders', senders.kind === 'map' ? senders.file : undefined],
    ...[geoip.country, geoip.asn].map((place): [string, string | undefined] => [
      'a database of places',
      place,
    ]),
    ...[...submission, ...inbound].flatMap(({ tls: { cert = [] } }) =>
      cert.map((file): [string, string] => ['a certificate', file]),
    ),
  ];
}

/** What the service writes besides accounts. After a start as another user, such as root, it may belong to that user. */
function writtenOf({ data, store, outbox }: Config): [what: string, place: string][] {
  const databases = [outbox.file, ...(store.kind === 'sqlite' ? [store.file] : [])];
  return [
    ...databases.flatMap((file) =>
      ['', '-wal', '-shm', '.lock', '.reserve'].map((end): [string, string] => [
        file === outbox.file ? 'the outbox' : 'the event store',
        `${file}${end}`,
      ]),
    ),
    ...['snapshots', 'spool', 'tls'].map((name): [string, string] => ['a folder', path.join(data, name)]),
  ];
}

function checkData(findings: Findings, data: string): void {
  const there = nearestThere(data);
  try {
    accessSync(there, constants.W_OK | constants.X_OK);
  } catch {
    const who = process.getuid?.() ?? '?';
    findings.problem(
      `${there} cannot be written to by this user (id ${who})`,
      "give it to the service's user, or run this as that user",
    );
  }
  if (there !== data) return;
  const mode = statSync(data).mode & 0o777;
  if ((mode & OTHERS) !== 0)
    findings.problem(`everybody may look into ${data} (mode ${octal(mode)})`, `chmod 700 ${data}`);
  else if ((mode & GROUP_READS) !== 0)
    findings.warning(
      `the group may read ${data} (mode ${octal(mode)})`,
      `chmod 700 ${data}, unless it is meant to`,
    );
}

/** A file or a folder, and the directory whose owner is the service's user. */
interface Thing {
  readonly what: string;
  readonly place: string;
  readonly stat: Stats;
  /** Whether the service, or a command for it, writes it too. */
  readonly isWritten: boolean;
  /** Undefined before the first start. */
  readonly service: Stats | undefined;
  readonly data: string;
}

function checkSecret(findings: Findings, thing: Thing): void {
  const { what, place, stat, isWritten, service } = thing;
  if (place.startsWith(CONTAINER_SECRETS)) return;
  const mode = stat.mode & 0o777;
  if ((mode & OTHERS) !== 0) {
    findings.problem(`everybody may read ${what}, ${place} (mode ${octal(mode)})`, remedyFor(thing));
    return;
  }
  if ((mode & GROUP_READS) === 0) return;
  // So it is meant: somebody else owns it, and the service reads it through its group.
  const isItsGroup = service === undefined || service.gid === stat.gid;
  if (!isWritten && isItsGroup && userOf(thing) !== stat.uid) return;
  findings.warning(
    `the group may read ${what}, ${place} (mode ${octal(mode)})`,
    `${remedyFor(thing)}, unless it is meant to`,
  );
}

/** The service's user; undefined if root looks before the first start. */
function userOf({ service }: Thing): number | undefined {
  const me = process.getuid?.();
  return service?.uid ?? (me === 0 ? undefined : me);
}

/** What leaves a secret to the service alone, and keeps the service able to read it. */
function remedyFor(thing: Thing): string {
  const { place, stat, isWritten, service, data } = thing;
  const user = userOf(thing);
  if (user === 0 || user === stat.uid) return `chmod 600 ${place}`;
  if (isWritten)
    return service === undefined
      ? `chmod 600 ${place}, and chown it to the service's user`
      : `chown --reference=${data} ${place} && chmod 600 ${place}`;
  return service === undefined
    ? `chmod 640 ${place}, and chgrp it to the service's group`
    : `chgrp --reference=${data} ${place} && chmod 640 ${place}`;
}

/** Root reads everything, and so never notices what the service's user cannot. */
function checkOwner(findings: Findings, { what, place, stat, isWritten, service, data }: Thing): void {
  if (service === undefined || service.uid === 0 || stat.uid === service.uid) return;
  if ((stat.mode & OTHERS_READ) !== 0) return;
  const give = `chown ${stat.isDirectory() ? '-R ' : ''}--reference=${data} ${place}`;
  const remedy = isWritten ? give : `chgrp --reference=${data} ${place} && chmod 640 ${place}`;
  if ((stat.mode & GROUP_READS) === 0)
    findings.problem(
      `${what}, ${place}, belongs to user id ${stat.uid} alone, and ${data} to user id ${service.uid}: the service cannot read it`,
      remedy,
    );
  else if (stat.gid !== service.gid)
    findings.warning(
      `${what}, ${place}, is for user id ${stat.uid} and group id ${stat.gid}, and ${data} belongs to user id ${service.uid}: the service cannot read it`,
      `${remedy}, unless the service's user is in that group`,
    );
}

function octal(mode: number): string {
  return mode.toString(8).padStart(3, '0');
}
