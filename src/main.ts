#!/usr/bin/env node
import { processIo } from './cli/io.js';
import { run } from './cli/program.js';

// A reader may close the pipe early (`stopgap user list | head`). That is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});
// Nobody is left to read about it.
process.stderr.on('error', () => undefined);

/** Connections keep the process no longer than this: one to a server that does not answer would for ever. */
const LEFT_WITHIN = 1000;

process.exitCode = await run(process.argv.slice(2), processIo);
// What a slow reader has not taken yet goes first.
process.stdout.write('', () =>
  process.stderr.write('', () => setTimeout(() => process.exit(), LEFT_WITHIN).unref()),
);
