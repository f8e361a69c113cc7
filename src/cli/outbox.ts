import type { Command } from 'commander';
import { StopgapError } from '../kernel/errors.js';
import { printable } from '../kernel/printable.js';
import { formatInstant } from '../kernel/time.js';
import { seesSends } from '../config/schema.js';
import type { Quarantined } from '../store/delivery.js';
import { quarantined, release } from '../store/delivery.js';
import { openSqliteStore } from '../store/sqlite/index.js';
import { inspectStore } from '../store/sqlite/inspect.js';
import { openSqliteForReading } from '../store/sqlite/reader.js';

import type { JsonOption } from './client.js';
import { connect, withClient } from './client.js';
import type { ConfigOption } from './options.js';
import { configForFiles, withConfig } from './options.js';
import type { CliIo } from './io.js';
import { done, note, print, table } from './io.js';

/** `stopgap outbox show|retry`: what the store refuses, on the disk of an SMTP node. */
export function outboxVerb(program: Command, io: CliIo): void {
  const outbox = program.command('outbox').description('events of this node that the store refuses');

  withConfig(outbox.command('show').description('list what is in quarantine; the server may run or not'))
    .option('--json', 'as JSON, one line each')
    .action(async (options: ConfigOption & { readonly json?: true }) => {
      const file = await fileOf(io, options);
      const entries = await inQuarantine(file);
      if (options.json === true) {
        for (const { refusedAt, stream, event, reason } of entries)
          print(io, JSON.stringify({ refusedAt: formatInstant(refusedAt), stream, event, reason }));
      } else if (inspectStore(file).state === 'absent') note(io, nothingAt(file));
      else if (entries.length === 0) note(io, 'nothing is in quarantine');
      else print(io, table([['REFUSED', 'ID', 'TYPE', 'STREAM', 'REASON'], ...entries.map(row)]));
    });

  withClient(
    outbox
      .command('retry [ids...]')
      .description('let events in quarantine be delivered once more: those of these ids, or all')
      .option('--json', 'as JSON'),
  ).action(async (given: string[], options: JsonOption) => {
    const ids = given.length === 0 ? undefined : given;
    const file = await fileOf(io, options);
    const { state } = inspectStore(file);
    if (state === 'held') {
      const client = await connect(io, options);
      const { retried, quarantine } = await client.ask('post', '/api/v1/outbox/retry', { body: { ids } });
      const text = `${counted(retried)} to be delivered by the running server; in quarantine: ${quarantine}`;
      done(io, options, { retried, quarantine }, text);
    } else if (state === 'absent') {
      done(io, options, { retried: 0 }, nothingAt(file));
    } else {
      const retried = await retryHere(file, io, ids);
      done(io, options, { retried }, `${counted(retried)} to be delivered when the server starts`);
    }
  });
}

/** @throws StopgapError if no outbox is kept */
async function fileOf(io: CliIo, options: ConfigOption): Promise<string> {
  const { config } = await configForFiles(io, options);
  const { store, outbox } = config;
  if (store.kind === 'sqlite' || !seesSends(config))
    throw new StopgapError(
      'not-found',
      'this process keeps no outbox: only nodes with the role smtp or policy and KurrentDB do',
    );
  return outbox.file;
}

/** The node has written nothing yet, or the settings are those of another node. */
function nothingAt(file: string): string {
  return `nothing is in quarantine: there is no ${file}; data (STOPGAP_DATA) names the directory of the node that is meant`;
}

async function inQuarantine(file: string): Promise<readonly Quarantined[]> {
  if (inspectStore(file).state === 'absent') return [];
  const local = openSqliteForReading(file);
  try {
    const entries: Quarantined[] = [];
    for await (const entry of quarantined(local)) entries.push(entry);
    return entries;
  } finally {
    await local.close();
  }
}

/** In the file of a server that does not run. @throws StopgapError for an id that is not there; StoreRefused */
async function retryHere(
  file: string,
  { clock }: CliIo,
  ids: readonly string[] | undefined,
): Promise<number> {
  const local = await openSqliteStore({ file, clock });
  try {
    return await release(local, ids, (stream, event) => local.append(stream, [event], 'any'));
  } finally {
    await local.close();
  }
}

function row({ refusedAt, stream, event, reason }: Quarantined): string[] {
  return [formatInstant(refusedAt), event.id, event.type, printable(stream), printable(reason)];
}

function counted(events: number): string {
  return events === 1 ? '1 event is' : `${events} events are`;
}
