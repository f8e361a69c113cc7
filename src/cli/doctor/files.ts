import path from 'node:path';
import { execFile } from 'node:child_process';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import { normalizeAdmin, readAdmins } from '../../accounts/admins.js';
import { parseOverrides } from '../../accounts/overrides.js';
import { fileFault } from '../../accounts/private-file.js';
import type { TokenTable } from '../../accounts/tokens.js';
import { NO_TOKENS, readTokens } from '../../accounts/tokens.js';
import { readUsers } from '../../accounts/users.js';
import type { Config } from '../../config.js';
import { geoDataOf, relaysOf, seesSends } from '../../config/schema.js';
import { GeoDatabase } from '../../geoip/database.js';
import { OLD } from '../../geoip/geoip.js';
import { StopgapError, messageOf } from '../../kernel/errors.js';
import { DAY, SECOND, formatDuration, formatInstant } from '../../kernel/time.js';
import { DEFAULT_RULES } from '../../rules/defaults.js';
import { forgeable, idle, withoutGeoData } from '../../rules/explain.js';
import type { RuleSet } from '../../rules/model.js';
import { parseRules } from '../../rules/parse.js';
import { ownPackage } from '../../runtime/version.js';
import { libraryFault, loadFault } from '../../store/sqlite/library.js';
import type { Findings, World } from './findings.js';
import { nearestThere } from './findings.js';

const KEEPS = 'a server that runs goes on with what was in it';

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
      else findings.warning(`no ${what} in ${file}`, `${make}; or put it back, if it was emptied: ${KEEPS}`);
    } catch (error) {
      eachLine(error, (line) => findings.problem(line));
    }
  };
  const { auth, senders } = config.smtp;
  const { users } = auth;
  if (config.roles.includes('smtp') && senders.kind === 'map' && senders.map.size === 0)
    findings.warning(
      `no account in ${senders.file}: each may use its own address alone`,
      `add what others may use, or put it back, if it was emptied: ${KEEPS}`,
    );
  if (config.roles.includes('smtp') && auth.backend === 'file')
    await counted('user', users, async () => (await readUsers(users)).size, 'stopgap user add NAME');
  const { tokens } = config.api;
  // A process of another role asks for one at /metrics.
  if (config.roles.includes('api') || config.api.metrics === 'token') {
    const make = 'stopgap token add --name NAME --role admin';
    let table = NO_TOKENS;
    const count = async (): Promise<number> => (table = await readTokens(tokens)).records.length;
    await counted('token', tokens, count, make);
    if (config.roles.includes('api')) await checkNames(findings, config.api.admins, table);
  }
}

/** `admin:NAME` is recorded for both. Files of before may have both. */
async function checkNames(findings: Findings, admins: string, { records }: TokenTable): Promise<void> {
  try {
    const people = await readAdmins(admins);
    for (const { name, role } of records)
      if (people.has(normalizeAdmin(name)))
        findings.warning(
          `a person and a token are called ${name}: what both do is recorded under this name`,
          `stopgap token add --name ANOTHER --role ${role}, then stopgap token revoke ${name}`,
        );
  } catch (error) {
    eachLine(error, (line) => findings.problem(line));
  }
}

/** Where rules come from that are not those of the file. */
const CAME = {
  defaults: 'built in',
  api: 'set through the API',
  shadow: 'promoted from the shadow',
} as const;

/** Whether the rules file is valid, and whether these rules, and those in force, can do what they are meant to. */
export function checkRules(findings: Findings, { loaded, rules: inForce, untold, clock }: World): void {
  const { config } = loaded;
  const { roles } = config;
  // Other processes do not read it.
  const file = roles.includes('detector') ? config.rules : undefined;
  const warnings = new Set(inForce?.warnings);
  let mode = inForce?.mode;
  if (file !== undefined) {
    try {
      const text = readFileSync(file, 'utf8');
      const set = parseRules(text, file);
      const { rules } = set;
      mode ??= set.mode;
      findings.ok(
        `${file}: ${rules.length} rule${rules.length === 1 ? '' : 's'}, mode ${set.mode}${withoutBuiltIn(set)}`,
      );
      if (inForce !== undefined && inForce.origin !== 'file' && inForce.source !== text)
        findings.warning(
          `in force is version ${inForce.version}, ${CAME[inForce.origin]}, not this file`,
          `stopgap rules show > ${file}, or stopgap rules apply ${file}`,
        );
      for (const sentence of [...forgeable(set), ...idle(set, clock.now())]) warnings.add(sentence);
      for (const sentence of beyondRetention(set, config)) warnings.add(sentence);
      for (const { sentence } of withoutGeoData(set, geoDataOf(config))) warnings.add(sentence);
    } catch (error) {
      eachLine(error, (line) => findings.problem(line, 'stopgap rules check FILE, until it is valid'));
    }
  } else if (inForce?.origin === 'file' && roles.includes('detector'))
    findings.warning(
      `version ${inForce.version} in force, mode ${inForce.mode}, from a rules file, and the configuration names none`,
      'name it in rules, or take the built-in rules: stopgap rules defaults > FILE, then stopgap rules apply FILE',
    );
  else if (inForce !== undefined)
    findings.ok(`version ${inForce.version} in force, from ${inForce.origin}, mode ${inForce.mode}`);
  else if (roles.includes('detector'))
    findings.ok('the built-in rules, unless others were set through the API');
  if (inForce === undefined)
    findings.notTried(
      `which rules are in force is not known here: ${
        !roles.includes('api') ? 'ask the doctor of a process with the role api' : untold
      }`,
    );
  if (mode === 'observe')
    findings.warning(
      'mode is observe: no rule blocks or proposes',
      'stopgap rules observed lists what they would have done; mode: enforce in the rules lets them act',
    );
  for (const warning of warnings)
    findings.warning(warning, 'change the rule, or the setting that it names (docs/reference/rules.md)');
}

/** The rules that look back further than sends are kept. */
function beyondRetention({ rules }: RuleSet, { retention }: Config): readonly string[] {
  return rules.flatMap(({ id, window, turned }) => {
    const longest = Math.max(window, turned?.window ?? 0);
    if (longest <= retention.sends) return [];
    return [
      `rule "${id}" has a window of ${formatDuration(longest)}, which is longer than retention.sends (${formatDuration(retention.sends)}): it loses its oldest sends`,
    ];
  });
}

/** Which built-in rules a copy of those of an earlier version does not have. Who wrote all rules anew knows it. */
function withoutBuiltIn({ rules }: RuleSet): string {
  const own = new Set(rules.map(({ id }) => id));
  const builtIn = parseRules(DEFAULT_RULES).rules.map(({ id }) => id);
  const missing = builtIn.filter((id) => !own.has(id));
  if (missing.length === 0 || missing.length === builtIn.length) return '';
  return `, without the built-in ${missing.length === 1 ? 'rule' : 'rules'} ${missing.join(', ')}`;
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

/** `>=20.19` in numbers. */
const NEEDED = /^>=(\d+)\.(\d+)/.exec(ownPackage().engines.node)!.slice(1).map(Number) as [number, number];

export async function checkNode(findings: Findings): Promise<void> {
  const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
  const isOld = major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1]);
  if (isOld) findings.problem(`Node.js ${process.version} is too old`, `use ${NEEDED.join('.')} or newer`);
  else findings.ok(`Node.js ${process.version} on ${process.platform} ${process.arch}`);
  const unloaded = loadFault();
  if (unloaded !== undefined) return findings.problem(unloaded.detail, unloaded.remedy);
  const { default: Database } = await import('better-sqlite3');
  const db = new Database(':memory:');
  findings.ok(`SQLite ${String(db.prepare('SELECT sqlite_version()').pluck().get())}`);
  db.close();
  const fault = libraryFault();
  if (fault !== undefined) findings.problem(fault.detail, fault.remedy);
}

/** Bytes below which there is little, and too little. */
const LITTLE = 1e9;
const TOO_LITTLE = 1e8;

/** Free space where Stopgap writes: one finding for each file system. */
export async function checkDisk(findings: Findings, { loaded }: World): Promise<void> {
  const { config } = loaded;
  const places: [what: string, place: string][] = [['data', config.data]];
  if (config.roles.includes('smtp')) {
    places.push(['spool', path.join(config.data, 'spool')]);
    for (const { relay } of relaysOf(config))
      if ('maildir' in relay.target) places.push(['mail', relay.target.maildir]);
  }
  if (seesSends(config) && config.store.kind !== 'sqlite') places.push(['outbox', config.outbox.file]);
  if (config.log.file !== undefined) places.push(['log', config.log.file]);
  const devices = new Map<number, { names: string[]; place: string }>();
  for (const [name, place] of places) {
    const there = nearestThere(place);
    const { dev } = statSync(there);
    if (name === 'data' && !statSync(there).isDirectory())
      return findings.problem(`data: ${there} is no directory`, 'name another');
    const device = devices.get(dev) ?? { names: [], place: there };
    device.names.push(name);
    devices.set(dev, device);
  }
  for (const { names, place } of devices.values()) {
    const { bavail, blocks, bsize } = await statfs(place);
    const [free, all] = [bavail * bsize, blocks * bsize];
    const text = `${names.join(', ')} in ${place}: ${gigabytes(free)} of ${gigabytes(all)} free`;
    const effect = config.roles.includes('smtp')
      ? 'mail is put off'
      : 'what mail servers tell is not counted, and nobody new is blocked';
    const remedy = `free some, or name another directory in data: on a full disk ${effect}`;
    if (free < TOO_LITTLE) findings.problem(text, remedy);
    else if (free < LITTLE) findings.warning(text, remedy);
    else findings.ok(text);
  }
}

function gigabytes(bytes: number): string {
  return bytes < LITTLE ? `${Math.floor(bytes / 1e6)} MB` : `${Math.floor(bytes / 1e9)} GB`;
}

/** Clocks are seldom nearer than this to each other. */
const TOLERANCE = 2 * SECOND;

/** Whether the clock can be right: blocks end by it. */
export async function checkClock(findings: Findings, { clock, store }: World): Promise<void> {
  const now = clock.now();
  const last = store?.lastRecordedAt;
  if (last === undefined) {
    findings.ok(`it is ${formatInstant(now)} here; no event to compare it with was read`);
  } else if (last > now + TOLERANCE) {
    const what = `event was written at ${formatInstant(last)}, ${formatDuration(last - now)} from now`;
    if (store!.newestRecordedAt! > now + TOLERANCE)
      findings.problem(
        `the last ${what}`,
        'set the clock if it is wrong here, and keep it by NTP: blocks end later by as much as it was set back',
      );
    else
      findings.warning(
        `an ${what}, and later ones by a clock that was set back`,
        `if it is ${formatInstant(now)} now, the clock was ahead and is right again; keep it by NTP`,
      );
  } else {
    findings.ok(`it is ${formatInstant(now)} here, after the last event in the store`);
  }
  await checkSynchronised(findings);
}

async function checkSynchronised(findings: Findings): Promise<void> {
  let answer: string;
  try {
    const args = ['show', '--property=NTPSynchronized', '--value'];
    ({ stdout: answer } = await promisify(execFile)('timedatectl', args, { timeout: 2 * SECOND }));
  } catch {
    // Containers usually have no timedatectl, or one that knows nothing: their clock is the host's.
    findings.notTried('whether it is kept by NTP: timedatectl does not say');
    return;
  }
  if (answer.trim() === 'yes') findings.ok('it is kept by NTP');
  else findings.warning('it is not kept by NTP', 'timedatectl set-ntp true, or run chrony');
}

/** Whether the program that is called for mail in a queue can be run, and nobody else can change what it does. */
export function checkHooks(findings: Findings, { loaded }: World): void {
  const run = loaded.config.hooks.run!;
  if ('url' in run) return findings.ok(`${run.url} is called; it is not asked here`);
  const [file] = run.command;
  const remedy = 'install it as docs/run/mail-servers.md says';
  try {
    const { mode, uid } = statSync(file);
    if (!statSync(file).isFile()) return findings.problem(`hooks.run: ${file} is no file`, remedy);
    if ((mode & 0o111) === 0)
      return findings.problem(`hooks.run: ${file} is not executable`, `chmod 755 ${file}`);
    accessSync(file, constants.X_OK);
    if ((mode & 0o022) !== 0)
      return findings.problem(
        `hooks.run: others may change ${file}, and so what is done to mail`,
        `chmod go-w ${file}`,
      );
    if (uid !== 0 && uid !== process.getuid?.())
      return findings.problem(
        `hooks.run: ${file} belongs to user id ${uid}, who may change it`,
        `chown root ${file}`,
      );
    findings.ok(`${file} can be run`);
  } catch (error) {
    findings.problem(`hooks.run: ${file} ${fileFault(error, remedy, 'used')}`);
  }
}
