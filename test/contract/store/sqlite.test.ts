import fs from 'node:fs/promises';
import path from 'node:path';
import Database from 'better-sqlite3';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryDirectory } from '../../support/store/files.js';
import { underTest } from './harness.js';
import { storeContract } from './suite.js';

storeContract('SQLite', {
  unsupported: {
    replacement: 'one process has the file, and nobody exchanges it meanwhile',
    several: 'the file is locked by the process that has it open',
  },
  async open() {
    const directory = await temporaryDirectory();
    const clock = new ManualClock();
    const file = path.join(directory, 'events.db');
    const open = () => openSqliteStore({ file, clock });
    let other: Database.Database | undefined;
    const remove = async () => {
      other?.close();
      await fs.rm(directory, { recursive: true });
    };
    const restart = () => Promise.resolve();
    const outage = {
      // As a backup does that hangs.
      async begin() {
        other = new Database(file);
        other.exec('BEGIN IMMEDIATE');
      },
      async end() {
        other!.close();
      },
    };
    return underTest(clock, open, remove, restart, { outage });
  },
});
