import { statSync } from 'node:fs';
import type { Command } from 'commander';
import { StopgapError } from '../kernel/errors.js';
import { compactStore } from '../store/sqlite/compact.js';
import type { JsonOption } from './client.js';
import { connect, withJson } from './client.js';
import type { ConfigOption } from './options.js';
import { configForFiles, withConfig } from './options.js';
import type { CliIo } from './io.js';
import { asJson, done, note, print, table } from './io.js';

/** `stopgap storage`: what is kept, for how long, and what it takes; `stopgap storage compact`. */
export function storageVerb(program: Command, io: CliIo): void {
  const storage = program
    .command('storage')
    .description('what is kept, for how long, and what it takes on the disk');
  withJson(storage).action(async (options: JsonOption) => {
    const found = await (await connect(io, options)).get('/api/v1/storage');
    if (options.json === true) return print(io, asJson(found));
    const rows = found.categories.map(({ name, retention, events, isEstimate, oldestAt }) => [
      name,
      retention ?? 'for ever',
      events === null ? '-' : `${isEstimate ? '~' : ''}${events}`,
      oldestAt ?? '-',
    ]);
    print(io, table([['WHAT', 'KEPT', 'EVENTS', 'OLDEST'], ...rows]));
    const { bytes, reclaimable, free, givesBack } = found;
    if (bytes === null || reclaimable === null || free === null)
      return note(io, 'KurrentDB knows what it takes on its disks; a scavenge gives space back');
    print(
      io,
      `the store takes ${sized(bytes)}, of which ${sized(reclaimable)} are free; the disk has ${sized(free)} left`,
    );
    if (!givesBack)
      note(io, 'free space stays in the file: stop Stopgap once and run stopgap storage compact');
  });

  withConfig(
    storage
      .command('compact')
      .description('write the file of the store anew, without what was deleted; Stopgap must not run'),
  )
    .option('--json', 'as JSON')
    .action(async (options: ConfigOption & { readonly json?: true }) => {
      const { store } = (await configForFiles(io, options)).config;
      if (store.kind !== 'sqlite')
        throw new StopgapError(
          'invalid-input',
          'KurrentDB gives space back by a scavenge: docs/run/deploy.md',
        );
      const before = statSync(store.file).size;
      compactStore(store.file, io.clock);
      const after = statSync(store.file).size;
      done(io, options, { before, after }, `the store took ${sized(before)}, and takes ${sized(after)} now`);
    });
}

function sized(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(1)} GB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
