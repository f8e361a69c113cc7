import { readFileSync } from 'node:fs';
import type { SenderPolicy } from '../../accounts/senders.js';
import { isEntitled, parseSenderMap } from '../../accounts/senders.js';
import { Appender, History, ImportedDaySummaries, KnownIds } from '../../import/history.js';
import { messageOf } from '../../kernel/errors.js';
import { RulesCommandHandler } from '../../commands/rules-commands.js';
import { InvalidRules, parseRules } from '../../rules/parse.js';
import { PROFILE_CATEGORY, SUMMARIES_KEPT } from '../../sending/day-summary.js';
import { AUTH_CATEGORY, SEND_CATEGORY } from '../../sending/events.js';
import type { EventStore } from '../../store/port.js';
import { StoreRefused } from '../../store/port.js';
import { openKurrentStore } from '../../store/kurrentdb/index.js';
import { redacted } from '../../store/kurrentdb/connection.js';
import { openSqliteStore } from '../../store/sqlite/index.js';
import type { Config } from '../../config.js';
import type { CliIo } from '../io.js';
import { inOneLine, note } from '../io.js';
import type { PostfixLogOptions } from '../../import/postfix-log/index.js';
import type { Sink } from '../../import/sink.js';

/** Where events go, and what became of them. */
export interface Target {
  readonly sink: Sink;
  readonly entitled: PostfixLogOptions['entitled'];
  written(): Record<string, number>;
  /** Which store or file it is, without passwords. */
  readonly into: string;
  /** @param isWhole false: what it was to replace stays */
  close(isWhole: boolean): Promise<void>;
}

/** The store of the configuration, for history to be written into. @throws StoreRefused */
export async function openHistory(io: CliIo, config: Config): Promise<Target> {
  const store = await openStore(io, config);
  try {
    await store.setRetention(SEND_CATEGORY, config.retention.sends);
    await store.setRetention(AUTH_CATEGORY, config.retention.sends);
    await store.setRetention(PROFILE_CATEGORY, SUMMARIES_KEPT);
    // What is usual is counted in the windows of the rules: those that the server puts in force when it starts.
    const blockCommands = new RulesCommandHandler(store, io.clock);
    const { rules: file } = config;
    const source = file === undefined ? undefined : readFileSync(file, 'utf8');
    await blockCommands.load(source === undefined ? undefined : { rules: parseRules(source, file), source });
    await renew(io, blockCommands);
    const rules = (await blockCommands.current())!;
    // SQLite's store knows every id that it holds; KurrentDB forgets old ones.
    const known = config.store.kind === 'sqlite' ? undefined : await KnownIds.of(store);
    const appender = new Appender(store, { isKnown: (id) => known?.has(id) === true });
    const days = new ImportedDaySummaries(rules);
    const policy = policyOf(config);
    return {
      sink: new History({ appender, days, source: 'postfix-log', now: io.clock.now() }),
      entitled: (account, returnPath) => isEntitled(policy, account, returnPath),
      written: () => ({ added: appender.added, known: appender.known }),
      into: config.store.kind === 'sqlite' ? config.store.file : redacted(config.store.url),
      close: () => store.close(),
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** What the next start makes of the rules in force: they may extend the built-in ones of an earlier version. */
async function renew(io: CliIo, commands: RulesCommandHandler): Promise<void> {
  try {
    await commands.renew('inForce');
  } catch (error) {
    if (!(error instanceof InvalidRules)) throw error;
    const why = inOneLine(error.message);
    note(
      io,
      `stopgap: the rules in force do not go with the built-in ones of this version, and stay as they were: ${why}`,
    );
  }
}

/** The configuration for files that need not be there yet holds no map. */
function policyOf({ smtp: { senders } }: Config): SenderPolicy {
  if (senders.kind !== 'map') return senders;
  return { ...senders, map: parseSenderMap(readFileSync(senders.file, 'utf8'), senders.file) };
}

async function openStore(io: CliIo, { store }: Config): Promise<EventStore> {
  if (store.kind === 'kurrentdb') {
    return openKurrentStore({
      url: store.url,
      clock: io.clock,
      report: (problem, error) => note(io, `stopgap: ${problem}: ${messageOf(error)}`),
    });
  }
  try {
    return await openSqliteStore({ file: store.file, clock: io.clock });
  } catch (error) {
    if (!(error instanceof StoreRefused) || !error.message.includes('is in use')) throw error;
    throw new StoreRefused(
      `${error.message}\na server with this store is running: stop it, import, and start it again (it then folds what was ` +
        'imported); or keep it running and look at a trace first: --trace FILE',
    );
  }
}
