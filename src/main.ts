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

process.exitCode = await run(process.argv.slice(2), processIo);
