import fs from 'node:fs/promises';
import path from 'node:path';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryDirectory } from '../../support/store/files.js';
import { underTest } from './harness.js';
import { storeContract } from './suite.js';

storeContract('SQLite', {
  async open() {
    const directory = await temporaryDirectory();
    const clock = new ManualClock();
    const open = () => openSqliteStore({ file: path.join(directory, 'events.db'), clock });
    return underTest(clock, open, () => fs.rm(directory, { recursive: true }));
  },
});
