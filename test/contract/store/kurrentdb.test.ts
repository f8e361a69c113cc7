import fs from 'node:fs/promises';
import path from 'node:path';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { StandIn } from '../../support/kurrentdb/stand-in.js';
import { ManualClock } from '../../support/manual-clock.js';
import { temporaryDirectory } from '../../support/store/files.js';
import { underTest, type StoreHarness } from './harness.js';
import { storeContract } from './suite.js';
import { KURRENTDB_LIMITS } from '../../support/kurrentdb/limits.js';

/** A stand-in that behaves as that version of the server does. */
const harness = (version: string): StoreHarness => ({
  unsupported: KURRENTDB_LIMITS,
  async open() {
    const directory = await temporaryDirectory();
    let server = await StandIn.start({ file: path.join(directory, 'log.jsonl'), version });
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
    let saved: Buffer | undefined;
    const history = {
      save: async () => void (saved = await server.backup()),
      restore: async () => void (server = await server.replaced(saved)),
      empty: async () => void (server = await server.replaced()),
    };
    return underTest(clock, open, remove, restart, {
      outage: { begin: () => server.kill(), end: back },
      history,
    });
  },
});

for (const version of ['26.1.0', '24.10.0']) {
  storeContract(`KurrentDB ${version} (stand-in)`, harness(version));
}
