import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseOverrides } from '../../accounts/overrides.js';
import { readTokens } from '../../accounts/tokens.js';
import { readUsers } from '../../accounts/users.js';
import type { Config } from '../../config.js';
import { geoDataOf } from '../../config/geo-data.js';
import { relaysOf } from '../../config/relay.js';
import { GeoDatabase } from '../../geoip/database.js';
import { OLD } from '../../geoip/geoip.js';
import { messageOf, StopgapError } from '../../kernel/errors.js';
import { DAY, formatInstant } from '../../kernel/time.js';
import { parseRedis } from '../../redis/address.js';
import { forgeable, withoutGeoData } from '../../rules/explain.js';
import { parseRules } from '../../rules/parse.js';
import type { Findings } from './findings.js';
import type { World } from './world.js';
import { nearestThere } from './world.js';

/** Who may log in, and who may use the API. */
export async function checkAccounts(findings: Findings, { loaded }: World): Promise<void> {
  const { config, evaluation } = loaded;
  const counted = async (
    what: string,
    file: string,
    read: () => Promise<number>,
    make: string,
  ): Promise<void> => {
    try {
      const count = await read();
      if (count > 0) findings.ok(`${count} ${what}${count === 1 ? '' : 's'} in ${file}`);
      else if (evaluation) findings.ok(`no ${what} yet: the first start makes one`);
      else findings.warning(`no ${what} in ${file}`, make);
    } catch (error) {
      eachLine(error, (line) => findings.problem(line));
    }
  };
  const { users } = config.smtp.auth;
  if (config.roles.includes('smtp'))
    await counted('user', users, async () => (await readUsers(users)).size, 'stopgap user add NAME');
  const { tokens } = config.api;
  // A process of another role asks for one at /metrics.
  if (config.roles.includes('api') || config.api.metrics === 'token') {
    const make = 'stopgap token add --name NAME --role admin';
    await counted('token', tokens, async () => (await readTokens(tokens)).records.length, make);
  }
}

/** Where rules come from that are not those of the file. */
const CAME = {
  defaults: 'built in',
  api: 'set through the API',
  shadow: 'promoted from the shadow',
} as const;

/** Whether the rules file is valid, and whether these rules, and those in force, can do what they are meant to. */
export function checkRules(findings: Findings, { loaded, rules: inForce }: World): void {
  const file = loaded.config.rules;
  const warnings = new Set(inForce?.warnings);
  let mode = inForce?.mode;
  if (file !== undefined) {
    try {
      const text = readFileSync(file, 'utf8');
      const set = parseRules(text, file);
      const { rules } = set;
      mode ??= set.mode;
      findings.ok(`${file}: ${rules.length} rule${rules.length === 1 ? '' : 's'}, mode ${set.mode}`);
      if (inForce !== undefined && inForce.origin !== 'file' && inForce.source !== text)
        findings.warning(
          `in force is version ${inForce.version}, ${CAME[inForce.origin]}, not this file`,
          `stopgap rules show > ${file}, or stopgap rules apply ${file}`,
        );
      for (const sentence of forgeable(set)) warnings.add(sentence);
      for (const { sentence } of withoutGeoData(set, geoDataOf(loaded.config))) warnings.add(sentence);
    } catch (error) {
      eachLine(error, (line) => findings.problem(line, 'stopgap rules check FILE, until it is valid'));
    }
  } else if (inForce !== undefined)
    findings.ok(`version ${inForce.version} in force, from ${inForce.origin}, mode ${inForce.mode}`);
  else findings.ok('the built-in rules, unless others were set through the API');
  if (mode === 'observe')
    findings.warning(
      'mode is observe: no rule blocks or proposes',
      'stopgap rules observed lists what they would have done; mode: enforce in the rules lets them act',
    );
  for (const warning of warnings)
    findings.warning(warning, 'change the rule, or the setting that it names (docs/rules.md)');
}

export function checkOverrides(findings: Findings, { loaded }: World): void {
  const file = loaded.config.overrides!;
  try {
    const { length } = parseOverrides(readFileSync(file, 'utf8'), file);
    findings.ok(`${file}: ${length} override${length === 1 ? '' : 's'}`);
  } catch (error) {
    eachLine(error, (line) =>
      findings.problem(line, 'correct it: with a file at fault serve does not start'),
    );
  }
}

/** Whether the databases of places can be used, and how old they are. */
export function checkGeoip(findings: Findings, { loaded, clock }: World): void {
  for (const kind of ['country', 'asn'] as const) {
    const file = loaded.config.geoip[kind];
    if (file === undefined) continue;
    try {
      const { type, builtAt } = new GeoDatabase(readFileSync(file), kind);
      const text = `${file}: ${type} of ${formatInstant(builtAt)}`;
      const age = clock.now() - builtAt;
      if (age <= OLD) findings.ok(text);
      else findings.warning(`${text}, ${Math.floor(age / DAY)} days old`, 'get a newer one');
    } catch (error) {
      eachLine(error, (line) =>
        findings.problem(`geoip.${kind}: ${file}: ${line}`, 'get it anew, or leave the setting out'),
      );
    }
  }
}

function eachLine(error: unknown, tell: (line: string) => void): void {
  if (!(error instanceof StopgapError) && (error as NodeJS.ErrnoException).syscall === undefined) throw error;
  for (const line of messageOf(error).split('\n')) tell(line);
}

const GROUP_READS = 0o040;
const OTHERS = 0o007;
const OTHERS_OR_GROUP_READ = 0o044;

/** Whether what is secret is its owner's, and what is to be written can be. */
export function checkPermissions(findings: Findings, { loaded }: World): void {
  const { config, file } = loaded;
  const before = findings.list.length;
  checkData(findings, config.data);
  const secrets: [what: string, place: string | undefined][] = [
    ['the users file', config.smtp.auth.users],
    ['the tokens file', config.api.tokens],
    ['the credentials of the evaluation', path.join(config.data, 'demo-credentials.txt')],
    ['the key of the log', config.log.key],
    ['the event store', config.store.kind === 'sqlite' ? config.store.file : undefined],
    ['the configuration', file !== undefined && holdsPassword(config) ? file : undefined],
    ...[...config.smtp.submission, ...config.smtp.inbound].map(({ tls }): [string, string | undefined] => [
      'a private key',
      tls.key,
    ]),
  ];
  const seen = new Set<string>();
  for (const [what, place] of secrets) {
    if (place === undefined || seen.has(place)) continue;
    seen.add(place);
    checkSecret(findings, what, place);
    checkOwner(findings, what, place, config.data);
  }
  for (const [what, place] of [...writtenOf(config), ...readOf(config, file)]) {
    if (place === undefined || seen.has(place)) continue;
    seen.add(place);
    checkOwner(findings, what, place, config.data);
  }
  if (findings.list.length === before)
    findings.ok(`what is secret is its owner's alone, and ${config.data} can be written to`);
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
    ...[...submission, ...inbound].map(({ tls }): [string, string | undefined] => [
      'a certificate',
      tls.cert,
    ]),
  ];
}

/** What the service writes beside accounts: a start as another user, such as root, leaves each of it behind. */
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

function checkSecret(findings: Findings, what: string, place: string): void {
  const stat = statSync(place, { throwIfNoEntry: false });
  if (stat === undefined) return;
  const mode = stat.mode & 0o777;
  if ((mode & OTHERS) !== 0)
    findings.problem(`everybody may read ${what}, ${place} (mode ${octal(mode)})`, `chmod 600 ${place}`);
  else if ((mode & GROUP_READS) !== 0)
    findings.warning(
      `the group may read ${what}, ${place} (mode ${octal(mode)})`,
      `chmod 600 ${place}, unless it is meant to`,
    );
}

/** Root reads everything, and so never notices what the service's user cannot. */
function checkOwner(findings: Findings, what: string, place: string, data: string): void {
  const file = statSync(place, { throwIfNoEntry: false });
  const service = statSync(data, { throwIfNoEntry: false });
  if (file === undefined || service === undefined || service.uid === 0 || file.uid === service.uid) return;
  if ((file.mode & OTHERS_OR_GROUP_READ) !== 0) return;
  findings.problem(
    `${what}, ${place}, belongs to user id ${file.uid} alone, and ${data} to user id ${service.uid}: the service cannot read it`,
    `chown ${file.isDirectory() ? '-R ' : ''}--reference=${data} ${place}`,
  );
}

function octal(mode: number): string {
  return mode.toString(8).padStart(3, '0');
}

/** Whether one of its addresses has a login in it. */
function holdsPassword(config: Config): boolean {
  const { redis, store } = config;
  return (
    relaysOf(config).some(
      ({ relay: { target } }) => !('maildir' in target) && target.authPlain !== undefined,
    ) ||
    (redis !== undefined && parseRedis(redis.url).secrets().password !== undefined) ||
    (store.kind === 'kurrentdb' && /\/\/[^/@]+@/.test(store.url))
  );
}
