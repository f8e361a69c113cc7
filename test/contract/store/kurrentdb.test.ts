import fs from 'node:fs/promises';
import path from 'node:path';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { StandIn } from '../../support/kurrentdb/stand-in.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryDirectory } from '../../support/store/files.js';
import { underTest } from './harness.js';
import { storeContract } from './suite.js';
import { KURRENTDB_LIMITS } from '../../support/kurrentdb/limits.js';

/** Milliseconds for which an event that was written cannot be read: longer than an answer and a question take. */
const INDEXING = 2;

storeContract('KurrentDB (stand-in)', {
  unsupported: KURRENTDB_LIMITS,
  async open() {
    const directory = await temporaryDirectory();
    let server = await StandIn.start({ file: path.join(directory, 'log.jsonl'), indexing: INDEXING });
    const clock = new ManualClock();
    const open = () => openKurrentStore({ url: server.url, clock });
    const remove = async () => {
      await server.kill();
      await fs.rm(directory, { recursive: true });
    };
    const back = async () => {
      server = await server.again();
    };
    const restart = async () => {
      await server.kill();
      await back();
    };
    return underTest(clock, open, remove, restart, { begin: () => server.kill(), end: back });
  },
});
