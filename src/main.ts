#!/usr/bin/env node
import { processIo } from './cli/io.js';
import { run } from './cli/program.js';

// A reader that has had enough (`stopgap user list | head`) is no fault.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});
// Nobody is left to be told of it.
process.stderr.on('error', () => undefined);

process.exitCode = await run(process.argv.slice(2), processIo);
