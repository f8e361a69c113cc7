import fs from 'node:fs/promises';
import path from 'node:path';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { StandIn } from '../../support/kurrentdb/stand-in.js';
import { DrivenClock } from '../../support/store/clock.js';
import { temporaryDirectory } from '../../support/store/files.js';
import { storeContract } from './suite.js';
import { KURRENTDB_LIMITS } from '../../support/kurrentdb/limits.js';

storeContract('KurrentDB (stand-in)', {
  unsupported: KURRENTDB_LIMITS,
  async open() {
    const directory = await temporaryDirectory();
    let server = await StandIn.start({ file: path.join(directory, 'log.jsonl') });
    const clock = new DrivenClock();
    const open = () => openKurrentStore({ url: server.url, clock });
    const subject = {
      store: await open(),
      clock,
      async reopen() {
        await subject.store.close();
        await server.kill();
        server = await server.again();
        subject.store = await open();
      },
      async destroy() {
        await subject.store.close();
        await server.kill();
        await fs.rm(directory, { recursive: true });
      },
    };
    return subject;
  },
});
