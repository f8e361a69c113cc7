import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { CALLBACK, discoverProvider } from '../../api/openid.js';
import { messageOf } from '../../kernel/errors.js';
import type { Milliseconds } from '../../kernel/time.js';
import { formatDuration, SECOND } from '../../kernel/time.js';
import { relaysOf } from '../../config/schema.js';
import { parseRedis } from '../../redis/address.js';
import { systemClock } from '../../runtime/clock.js';
import { connectRedis, inspectServer, lacksDatabase, SAFE_POLICY } from '../../redis/connection.js';
import { openRemoteBackend } from '../../smtp/auth/open.js';
import { openRelay } from '../../smtp/relay/open.js';
import { openKurrentStore } from '../../store/kurrentdb/index.js';
import { redacted } from '../../store/kurrentdb/connection.js';
import { StoreRefused } from '../../store/port.js';
import type { StoreInspection } from '../../store/sqlite/inspect.js';
import { newestIn } from '../../snapshots/snapshot-file.js';
import { QUARANTINED, quarantined } from '../../store/delivery.js';
import { countEvents, inspectStore } from '../../store/sqlite/inspect.js';
import { loadFault } from '../../store/sqlite/library.js';
import { openSqliteForReading } from '../../store/sqlite/reader.js';
import { loadSdk } from '../../tracing/open.js';
import type { Findings, World } from './findings.js';
import { nearestThere, PATIENCE, patiently } from './findings.js';

/** Whether the event store can be used. */
export async function checkStore(findings: Findings, world: World): Promise<void> {
  const { store, data } = world.loaded.config;
  if (store.kind === 'sqlite') {
    const proof = isEmpty(world.store!) ? await newestIn(path.join(data, 'snapshots')) : undefined;
    if (proof === undefined) tellInspection(findings, store.file, world.store!, world);
    else
      findings.problem(
        `${store.file} is missing or empty, but ${proof.file} was made from the events of one`,
        'put it back or restore it from a backup; to begin anew, start once with --new-store (docs/run/backup.md)',
      );
  } else await checkKurrent(findings, store.url, world);
  const times = Number(world.server?.health['logReplaced'] ?? 0);
  if (times > 0)
    findings.warning(
      `since its start the running Stopgap found another log in the store, ${times === 1 ? 'once' : `${times} times`}: what that one does not hold is gone, blocks too`,
      'see why: StopgapLogReplaced in docs/run/incidents.md',
    );
}

/** Nothing is in it, so far as that could be seen: it is not there, or laid out without an event. */
export function isEmpty({ state, size, fault, unread, lastRecordedAt }: StoreInspection): boolean {
  if (state === 'absent') return true;
  if (state !== 'free') return false;
  return size === 0 || (fault === undefined && unread === undefined && lastRecordedAt === undefined);
}

/** The store on the disk of an SMTP node, where events wait for the one that all share. */
export async function checkOutbox(findings: Findings, world: World): Promise<void> {
  const { file } = world.loaded.config.outbox;
  const found = inspectStore(file);
  tellInspection(findings, file, found, world);
  if (found.fault !== undefined || found.state === 'absent' || found.state === 'barred') return;
  const refused = await countQuarantine(file, found, world);
  if (typeof refused === 'string') findings.notTried(`whether events are in quarantine: ${refused}`);
  else if (refused === 0) findings.ok('no event is in quarantine');
  else
    findings.warning(
      `in quarantine, since the store refuses them: ${refused}`,
      'see why with stopgap outbox show, then stopgap outbox retry',
    );
}

/** How many there are, or why that was not looked at: a file that nobody has open is not opened, which would write to it. */
async function countQuarantine(
  file: string,
  { state, unread }: StoreInspection,
  { server }: World,
): Promise<number | string> {
  const told = server?.health['quarantine'];
  if (typeof told === 'number') return told;
  if (state !== 'held') return unread ?? countEvents(file).types[QUARANTINED] ?? 0;
  const local = openSqliteForReading(file);
  try {
    let count = 0;
    for await (const _entry of quarantined(local)) count++;
    return count;
  } finally {
    await local.close();
  }
}

function tellInspection(findings: Findings, file: string, found: StoreInspection, { server }: World): void {
  const { state, holder, size, logSize, format, fault, unread } = found;
  if (state === 'absent') {
    findings.ok(`${file} is not there yet: the first start makes it`);
    return;
  }
  if (state === 'barred') {
    const why = loadFault() === undefined ? `(${unread}): run this as the service's user` : 'without SQLite';
    findings.notTried(`${file} cannot be looked at ${why}`);
    return;
  }
  const who =
    holder === undefined ? 'a process' : `process ${holder.pid} on ${holder.host} since ${holder.since}`;
  const use = state === 'held' ? `open in ${who}` : 'open nowhere';
  const text = `${file}: ${megabytes(size + logSize)}, format ${format ?? '?'}, ${use}`;
  if (fault !== undefined) {
    findings.problem(
      `${text}: ${fault}`,
      'restore it from a backup, or move it away to start with an empty store (docs/run/backup.md)',
    );
  } else if (state === 'held' && server === undefined) {
    findings.warning(
      `${text}, which does not answer over HTTP`,
      'see whether it starts or hangs: its log says; a store serves one process at a time',
    );
  } else if (state === 'unclean') {
    findings.warning(`${text}: ${unread}`, 'start Stopgap');
  } else {
    findings.ok(text);
    if (unread === undefined) findings.ok(`${path.basename(file)} is whole`);
    else findings.notTried(`whether ${path.basename(file)} is whole: ${unread}`);
  }
}

async function checkKurrent(findings: Findings, url: string, { clock }: World): Promise<void> {
  const where = `KurrentDB at ${redacted(url)}`;
  let trouble: Error | undefined;
  const report = (problem: string, error: unknown): void =>
    void (trouble ??= error instanceof Error ? error : new Error(problem));
  try {
    const store = await openKurrentStore({ url, clock, appendTimeout: PATIENCE, report });
    try {
      if (trouble !== undefined) throw trouble;
      findings.ok(
        `${where} answers; it is at position ${await patiently(store.head(), 'it gave no position')}`,
      );
      if (store.clockSkew !== undefined) tellSkew(findings, store.clockSkew);
    } finally {
      await store.close();
    }
  } catch (error) {
    if (error instanceof StoreRefused) {
      findings.problem(messageOf(error), 'see that the URL is right, with its user and password');
      return;
    }
    findings.problem(
      `${where} does not answer: ${messageOf(error)}`,
      'see that it runs, that the address is right, and that TLS is what it expects (?tls=false without)',
    );
  }
}

/** Clocks are seldom nearer than this to each other. */
const APART = 5 * SECOND;

/** @param skew the other clock less ours */
function tellSkew(findings: Findings, skew: Milliseconds): void {
  const apart = Math.abs(skew);
  if (apart <= APART) findings.ok(`its clock is within ${formatDuration(APART)} of ours`);
  else
    findings.warning(
      `its clock is ${formatDuration(apart)} ${skew < 0 ? 'behind' : 'ahead of'} ours`,
      'keep both by NTP: windows take no more than five minutes of it',
    );
}

/** Whether Redis can be used for timed work. */
export async function checkRedis(findings: Findings, { loaded, clock }: World): Promise<void> {
  const address = parseRedis(loaded.config.redis!.url);
  const where = `Redis at ${address.toString()}`;
  let onError: (error: Error) => void = () => undefined;
  const connection = connectRedis(address, 'producer', (error) => onError(error));
  const { client } = connection;
  try {
    const ready = new Promise<void>((resolve, reject) => {
      client.once('ready', () => resolve());
      // Of several sentinels or nodes, one may well be away.
      onError = (error) => {
        if (address.topology === 'single' || lacksDatabase(error)) reject(error);
      };
    });
    await patiently(ready, 'no connection');
    const { version, evictionPolicy, isReplica, fullAt } = await inspectServer(client);
    findings.ok(`${where} answers, version ${version}`);
    if (isReplica)
      findings.problem(
        'it is a replica, which takes no timed work',
        'name its primary in redis (STOPGAP_REDIS), or make it one: replicaof no one',
      );
    if (fullAt !== undefined)
      findings.problem(
        `it has used up its memory (maxmemory ${megabytes(fullAt)}): it takes no timed work`,
        'raise maxmemory in its configuration, or see what else is in it (redis-cli --bigkeys)',
      );
    if (evictionPolicy !== SAFE_POLICY) {
      findings.problem(
        `its maxmemory-policy is ${evictionPolicy ?? 'unknown'}: it may throw timed work away`,
        `set maxmemory-policy ${SAFE_POLICY} in its configuration`,
      );
    }
    const persistence = await client.info('persistence');
    const says = (name: string): string | undefined =>
      new RegExp(`^${name}:(\\S+)`, 'm').exec(persistence)?.[1];
    if (says('aof_last_write_status') === 'err' || says('rdb_last_bgsave_status') === 'err')
      findings.problem('it cannot write to its disk', 'see its log, and free space there');
    else if (says('aof_enabled') === '1') findings.ok('it writes to disk what it is told (appendonly)');
    else
      findings.warning(
        'it has no appendonly file: a restart forgets timed work until Stopgap has compared it with the ledger',
        'set appendonly yes',
      );
    const [seconds] = await client.time();
    tellSkew(findings, seconds! * SECOND - clock.now());
  } catch (error) {
    if (error instanceof Error && lacksDatabase(error))
      findings.problem(
        `${where} has no database ${address.db}`,
        'correct the number in redis (STOPGAP_REDIS), or raise databases in its configuration',
      );
    else
      findings.problem(
        `${where} does not answer: ${address.conceal(messageOf(error))}`,
        'see that it runs, and that address and password are right',
      );
  } finally {
    connection.close();
  }
}

/** Whether accepted mail can be handed over. */
export async function checkUpstream(findings: Findings, { loaded, server }: World): Promise<void> {
  for (const { key, relay } of relaysOf(loaded.config)) {
    if ('maildir' in relay.target) checkMaildir(findings, relay.target.maildir);
    else await checkServer(findings, key, relay.url, loaded.config.smtp.hostname);
  }
  if (server?.health['relay'] === 'unanswered')
    findings.problem(
      'the running Stopgap has had no answer to the last message that it sent to a mail server behind',
      'look into the log of that mail server, and whether its disk is full; this ends when it answers a message, or ten minutes after the one that it did not answer',
    );
}

async function checkServer(findings: Findings, key: string, url: string, hostname: string): Promise<void> {
  const upstream = openRelay(url, { hostname, waitTimeout: PATIENCE });
  try {
    const { ok, detail } = await upstream.probe();
    if (ok) findings.ok(detail);
    else findings.problem(detail, `see that the mail server runs, and that ${key} is right`);
  } finally {
    await upstream.close();
  }
}

/** Whether the back end that checks logins can be asked. No login is tried. */
export async function checkLogins(findings: Findings, { loaded }: World): Promise<void> {
  const { config } = loaded;
  const log = { error: () => undefined, warn: () => undefined };
  const backend = openRemoteBackend(config, { clock: systemClock, log })!;
  try {
    const { ok, detail } = await patiently(backend.probe(), 'it does not answer');
    if (ok) findings.ok(`${config.smtp.auth.backend}: ${detail}`);
    else
      findings.problem(
        `${config.smtp.auth.backend}: ${detail}`,
        `nobody can log in (454): see that it runs, and that smtp.auth.${config.smtp.auth.backend} is right`,
      );
  } finally {
    backend.close();
  }
}

/** Whether people could be sent to the OpenID provider. Nobody signs in, and the secret is not tried. */
export async function checkOpenId(findings: Findings, { loaded }: World): Promise<void> {
  const { openId, publicUrl } = loaded.config.api;
  const { issuer } = openId!;
  try {
    await patiently(discoverProvider(openId!), 'it does not answer');
    findings.ok(`${issuer} answers; it has to know the redirect URI ${publicUrl}${CALLBACK}`);
  } catch (error) {
    // What fetch throws says only that it failed.
    const { cause } = error as { readonly cause?: { readonly code?: unknown } };
    const code = typeof cause?.code === 'string' ? ` (${cause.code})` : '';
    findings.problem(
      `${issuer} cannot be used: ${messageOf(error)}${code}`,
      'nobody can sign in by it: see that it runs, and that api.openId.issuer is the issuer that its /.well-known/openid-configuration names',
    );
  }
}

/** Whether traces would arrive. Where they do not, mail goes on: never more than a warning. */
export async function checkTracing(findings: Findings, { loaded }: World): Promise<void> {
  const { endpoint, headers } = loaded.config.tracing!;
  try {
    await loadSdk();
  } catch (error) {
    findings.problem(messageOf(error));
    return;
  }
  const remedy = 'see that the collector runs, and that tracing.endpoint is right, path and all';
  try {
    // An empty export is a valid request, and the collector keeps nothing of it (OTLP 1.3, "Full Success").
    const { ok, status, body } = await fetch(endpoint, {
      method: 'POST',
      body: '{"resourceSpans":[]}',
      redirect: 'error',
      headers: { ...headers, 'content-type': 'application/json' },
      signal: AbortSignal.timeout(PATIENCE),
    });
    await body?.cancel();
    if (ok) findings.ok(`${endpoint} takes traces`);
    else findings.warning(`${endpoint} answers ${status}: no trace arrives`, remedy);
  } catch (error) {
    // Its message may repeat a header, and a header may be a secret: the kind of error says enough.
    const { name, cause } = error as Error & { readonly cause?: { readonly code?: string } };
    findings.warning(`${endpoint} does not answer (${cause?.code ?? name})`, remedy);
  }
}

function checkMaildir(findings: Findings, maildir: string): void {
  const places = ['tmp', 'new', 'cur'].map((name) => nearestThere(path.join(maildir, name)));
  for (const place of new Set(places)) {
    try {
      accessSync(place, constants.W_OK | constants.X_OK);
    } catch (error) {
      findings.problem(
        `${place} cannot be written to (${messageOf(error)})`,
        "give it to the service's user",
      );
      return;
    }
  }
  findings.ok(`${maildir} can be written to`);
}

function megabytes(bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1000)} KB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
