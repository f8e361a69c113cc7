import type { Command } from 'commander';
import type { CliIo } from '../io.js';
import { asJson, ExitWith, note, print } from '../io.js';
import type { JsonOption } from '../client.js';
import { withJson } from '../client.js';
import type { Outcome } from './findings.js';
import { findingText } from './findings.js';

/** `stopgap doctor`: checks everything that a Stopgap here depends on. Exit code 1 if there is a problem. */
export function doctorVerb(program: Command, io: CliIo): void {
  const doctor = program
    .command('doctor')
    .description('look at configuration, ports, certificates, store, upstream … and say what to do');
  withJson(doctor).action(async (options: JsonOption) => {
    // Every engine's client is loaded for this verb alone.
    const { examine } = await import('./examine.js');
    const findings = await examine(io, options);
    const count = (outcome: Outcome): number => findings.filter((one) => one.outcome === outcome).length;
    const problems = count('problem');
    if (options.json === true) print(io, asJson({ ok: problems === 0, findings }));
    else {
      for (const finding of findings) print(io, findingText(finding));
      note(io, `problems: ${problems}, warnings: ${count('warning')}, not tried: ${count('not tried')}`);
    }
    if (problems > 0) throw new ExitWith(1);
  });
}
