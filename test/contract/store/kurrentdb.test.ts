import { after } from 'node:test';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { FORMS } from '../../support/kurrentdb/forms.js';
import { KurrentDB } from '../../support/kurrentdb/kurrentdb.js';
import { ManualClock } from '../../support/manual-clock.js';
import { underTest } from './harness.js';
import { storeContract } from './suite.js';

for (const form of FORMS) {
  // One for the whole file: a real server takes seconds to start.
  let starting: Promise<KurrentDB> | undefined;
  after(async () => (await starting)?.stop());

  storeContract(`KurrentDB (${form})`, {
    unsupported: {
      clock:
        "recordedAt is by the server's own clock, and what is too old goes by the server's scavenge: sweep takes nothing",
      idempotence:
        'KurrentDB looks for an id in one place only: where the expected revision says, or in a memory cache under `any`',
    },
    async open() {
      const server = await (starting ??= KurrentDB.start({ form }));
      const clock = new ManualClock();
      const restart = async () => {
        await server.kill();
        await server.restart();
      };
      return underTest(
        clock,
        () => openKurrentStore({ url: server.url, clock }),
        // What an earlier test left behind harms none: each keeps to categories of its own.
        () => server.restart(),
        restart,
        { begin: () => server.kill(), end: () => server.restart() },
      );
    },
  });
}
