import path from 'node:path';
import type { Command } from 'commander';
import { Option } from 'commander';
import { withClient } from '../client.js';
import type { CliIo } from '../io.js';
import { asJson, note, print } from '../io.js';
import type { BundleOptions } from './bundle.js';

/** `stopgap support-bundle`: everything that a helper would ask for, in one file. */
export function supportBundleVerb(program: Command, io: CliIo): void {
  const verb = program
    .command('support-bundle')
    .description(
      'gather versions, configuration without secrets, metrics, log … in one file, for the person who helps',
    );
  withClient(verb)
    .option('--out <file>', 'where to (default: stopgap-support-TIME.tar.gz)')
    .addOption(
      new Option('--addresses <how>', 'hash names of senders, or leave them')
        .choices(['hashed', 'plain'])
        .default('hashed'),
    )
    .option('--json', 'say what is in it as JSON')
    .action(async (options: BundleOptions & { readonly out?: string; readonly json?: true }) => {
      // Every engine's client is loaded for this verb alone.
      const { defaultName, gather, writeBundle } = await import('./bundle.js');
      const now = io.clock.now();
      const file = path.resolve(io.cwd, options.out ?? defaultName(now));
      const gathered = await gather(io, options);
      await writeBundle(file, gathered, options, now);
      if (options.json === true) {
        const parts = gathered.map(({ part, missing }) => ({ file: part.file, missing: missing ?? null }));
        return print(io, asJson({ file, parts }));
      }
      for (const { part, missing } of gathered)
        note(io, `  ${part.file.padEnd(20)}${missing === undefined ? part.about : `not there: ${missing}`}`);
      note(io, 'Look through it before you send it: tar -xzf FILE');
      print(io, file);
    });
}
