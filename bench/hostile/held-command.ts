import { processIo } from '../../src/cli/io.js';
import { run } from '../../src/cli/program.js';
import { LoopWatch } from './loop.js';

/** Carries out one command, and tells how long it held its event loop at most. */
const loop = new LoopWatch();
loop.start();
loop.take();
await run(process.argv.slice(2), processIo);
process.send!(loop.take(), () => process.exit(0));
