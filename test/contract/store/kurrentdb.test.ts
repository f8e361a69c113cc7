import { after } from 'node:test';
import { openKurrentStore } from '../../../src/store/kurrentdb/index.js';
import { FORMS, type Form } from '../../support/kurrentdb/forms.js';
import { KurrentDB } from '../../support/kurrentdb/kurrentdb.js';
import { ManualClock } from '../../support/manual-clock.js';
import { underTest, type StoreHarness } from './harness.js';
import { storeContract } from './suite.js';

/** Milliseconds for which an event that was written cannot be read: longer than an answer and a question take. */
const INDEXING = 2;

/** Versions before 25 tell a subscription less of how far it is. */
const BEFORE_25 = '24.10.0';

/** What serves: a real server, or the stand-in, which behaves as each of these versions does. */
const servers = FORMS.flatMap((form): readonly { name: string; form: Form; version?: string }[] =>
  form === 'stand-in'
    ? ['26.1.0', BEFORE_25].map((version) => ({ name: `stand-in ${version}`, form, version }))
    : [{ name: form, form }],
);

for (const { name, form, version } of servers) {
  // One for the whole file: a real server takes seconds to start.
  let starting: Promise<KurrentDB> | undefined;
  after(async () => (await starting)?.stop());

  const harness: StoreHarness = {
    unsupported: {
      clock:
        "recordedAt is by the server's own clock, and what is too old goes by the server's scavenge: sweep takes nothing",
      idempotence:
        'KurrentDB looks for an id in one place only: where the expected revision says, or in a memory cache under `any`',
    },
    async open() {
      const server = await (starting ??= KurrentDB.start({
        form,
        ...(version && { version }),
        indexing: INDEXING,
      }));
      const clock = new ManualClock();
      const restart = async () => {
        await server.kill();
        await server.restart();
      };
      return underTest(
        clock,
        () => openKurrentStore({ url: server.url, clock }),
        // Events of earlier tests do no harm: each test keeps to categories of its own.
        () => server.restart(),
        restart,
        {
          outage: { begin: () => server.kill(), end: () => server.restart() },
          history: {
            save: () => server.save(),
            restore: () => server.restore(),
            empty: () => server.empty(),
          },
        },
      );
    },
  };
  storeContract(`KurrentDB (${name})`, harness, version === BEFORE_25);
}
