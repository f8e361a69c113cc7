import type { Logger } from 'pino';
import type { AdminTable } from './accounts/admins.js';
import { NO_ADMINS } from './accounts/admins.js';
import type { SenderPolicy } from './accounts/senders.js';
import { NO_TOKENS, TokenTable } from './accounts/tokens.js';
import type { UserTable } from './accounts/users.js';
import { NO_USERS } from './accounts/users.js';
import { WatchedFile } from './accounts/watched-file.js';
import { messageOf } from './kernel/errors.js';
import type { ReloadedFile, RulesMetrics } from './metrics/metrics.js';
import { parseAside, partsAside } from './parsing/aside.js';
import type { SourcedRules } from './rules/model.js';

/*
 * The files that are picked up again when they change. One that cannot be used is refused with its reason in the
 * log, and what was in force stays.
 */

type Refusals = Pick<RulesMetrics, 'fileRefused'>;

export async function watchUsers(
  file: string,
  log: Logger,
  metrics: Refusals,
): Promise<WatchedFile<UserTable>> {
  return new WatchedFile({
    path: file,
    parseBytes: (bytes) => tableOf(partsAside('users', bytes, file), (user) => [user.name, user] as const),
    whenAbsent: NO_USERS,
    entries: (table) => table.size,
    onChange: (table) => log.info({ what: 'users', entries: table.size }, 'a file was read again'),
    onRefused: refused(log, metrics, 'users'),
    onRestored: restored(log, 'users'),
  }).load();
}

/**
 * @param isNeeded false if the process has other work, for which a file that cannot be used is no reason not to start
 */
export async function watchTokens(
  file: string,
  log: Logger,
  metrics: Refusals,
  isNeeded: boolean,
): Promise<WatchedFile<TokenTable>> {
  const tokens = new WatchedFile({
    path: file,
    parseBytes: async (bytes) => new TokenTable(await parseAside('tokens', bytes, file)),
    whenAbsent: NO_TOKENS,
    entries: (table) => table.records.length,
    onChange: (table) => log.info({ what: 'tokens', entries: table.records.length }, 'a file was read again'),
    onRefused: refused(log, metrics, 'tokens'),
    onRestored: restored(log, 'tokens'),
  });
  return isNeeded ? tokens.load() : tokens.loadOr(NO_TOKENS);
}

export async function watchAdmins(
  file: string,
  log: Logger,
  metrics: Refusals,
): Promise<WatchedFile<AdminTable>> {
  return new WatchedFile({
    path: file,
    parseBytes: (bytes) =>
      tableOf(partsAside('admins', bytes, file), (admin) => [admin.name, admin] as const),
    whenAbsent: NO_ADMINS,
    entries: (table) => table.size,
    onChange: (table) => log.info({ what: 'admins', entries: table.size }, 'a file was read again'),
    onRefused: refused(log, metrics, 'admins'),
    onRestored: restored(log, 'admins'),
  }).load();
}

/** The map of `smtp.senders: map:FILE`, as the policy that it makes. */
export async function watchSenders(
  file: string,
  log: Logger,
  metrics: Refusals,
): Promise<WatchedFile<SenderPolicy>> {
  return new WatchedFile<SenderPolicy>({
    path: file,
    parseBytes: async (bytes) => ({
      kind: 'map',
      file,
      map: await tableOf(partsAside('senders', bytes, file), (entry) => entry),
    }),
    entries: (policy) => (policy.kind === 'map' ? policy.map.size : 0),
    onChange: () => log.info({ what: 'senders' }, 'a file was read again'),
    onRefused: refused(log, metrics, 'senders'),
    onRestored: restored(log, 'senders'),
  }).load();
}

/** The rules file; a new one is put in force through its command handler. */
export async function watchRules(
  file: string,
  rules: { readonly reload: (file: SourcedRules) => Promise<unknown> },
  log: Logger,
  metrics: Refusals,
): Promise<WatchedFile<SourcedRules>> {
  return new WatchedFile({
    path: file,
    parseBytes: async (bytes) => (await parseAside('rules', bytes, file))[0]!,
    entries: ({ rules }) => rules.rules.length,
    onChange: (read) => {
      log.info({ what: 'rules' }, 'a file was read again');
      rules
        .reload(read)
        .catch((error: unknown) => log.error({ error: messageOf(error) }, 'new rules could not be recorded'));
    },
    onRefused: refused(log, metrics, 'rules'),
    onRestored: restored(log, 'rules'),
  }).load();
}

/** Filled part by part: all of a hundred thousand entries at once would hold everything up. */
async function tableOf<Entry, V>(
  parts: AsyncIterable<readonly Entry[]>,
  pair: (entry: Entry) => readonly [string, V],
): Promise<Map<string, V>> {
  const table = new Map<string, V>();
  for await (const part of parts) for (const entry of part) table.set(...pair(entry));
  return table;
}

/** What says that a file that was refused is well again. */
export function restored(log: Logger, what: ReloadedFile): () => void {
  return () => log.info({ what }, 'a file that was refused can be used again, and is what is in force');
}

/** What says that a file was refused. */
export function refused(
  log: Logger,
  metrics: Refusals,
  what: ReloadedFile,
): (reason: string, isDoubtful: boolean) => void {
  return (faults, isDoubtful) => {
    metrics.fileRefused(what);
    if (isDoubtful)
      log.warn({ what, faults }, 'a file has lost most of its entries; what was in force stays');
    else log.error({ what, faults }, 'a file was refused; what was in force stays');
  };
}
