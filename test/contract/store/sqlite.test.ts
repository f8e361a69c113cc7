import fs from 'node:fs/promises';
import path from 'node:path';
import { openSqliteStore } from '../../../src/store/sqlite/index.js';
import { DrivenClock } from '../../support/store/clock.js';
import { temporaryDirectory } from '../../support/store/files.js';
import { storeContract } from './suite.js';

storeContract('SQLite', {
  async open() {
    const directory = await temporaryDirectory();
    const clock = new DrivenClock();
    const open = () => openSqliteStore({ file: path.join(directory, 'events.db'), clock });
    const subject = {
      store: await open(),
      clock,
      async reopen() {
        await subject.store.close();
        subject.store = await open();
      },
      async destroy() {
        await subject.store.close();
        await fs.rm(directory, { recursive: true });
      },
    };
    return subject;
  },
});
