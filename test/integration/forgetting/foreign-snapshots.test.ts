import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { envelope } from '../../../src/runtime/ids.js';
import { MINUTE } from '../../../src/kernel/time.js';
import { ManualClock } from '../../support/manual-clock.js';
import { eventually } from '../../support/smtp/eventually.js';
import { ALICE, BOB, Stopgap } from '../../support/smtp/stopgap.js';

const SERVICE = 54_321;
const isRoot = process.getuid?.() === 0;
const LEFT = 'models-0-00000001.snapshot';

interface Installation {
  readonly stopgap: Stopgap;
  readonly clock: ManualClock;
  /**
   * Leaves the folder of snapshots as a start by root leaves it to a service that is another user. What runs here is
   * that service from then on. Who is not root takes the rights from itself.
   */
  readonly leaveByRoot: () => void;
  /** Gives the folder to the service. */
  readonly give: () => void;
}

async function install(t: TestContext): Promise<Installation> {
  let folder: string | undefined;
  const mend = (): void => {
    if (isRoot) process.seteuid!(0);
    if (folder !== undefined && existsSync(folder)) chmodSync(folder, 0o700);
  };
  // Before what Stopgap cleans up.
  t.after(mend);
  const clock = new ManualClock();
  const stopgap = await Stopgap.start(t, { clock });
  const { dir } = stopgap;
  const leaveByRoot = (): void => {
    folder = path.join(dir, 'data', 'snapshots');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const all = readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((name) => path.join(dir, name));
    writeFileSync(path.join(folder, LEFT), ALICE);
    if (!isRoot) return chmodSync(folder, 0);
    for (const file of [dir, ...all]) if (file !== folder) chownSync(file, SERVICE, SERVICE);
    process.seteuid!(SERVICE);
  };
  const give = (): void => {
    mend();
    if (!isRoot) return;
    chownSync(folder!, SERVICE, SERVICE);
    process.seteuid!(SERVICE);
  };
  return { stopgap, clock, leaveByRoot, give };
}

/** As a store is in which somebody was forgotten once. */
async function tellOfForgotten({ app }: Stopgap): Promise<void> {
  const data = { pseudonym: 'forgotten-00000000@invalid', erased: 1, rewritten: 0 };
  const events = envelope([{ type: 'PersonForgotten', data }], { by: 'admin:me' }, Date.now());
  const { position } = await app.store.append('forgetting', events, 'any');
  await app.models.reached(position);
}

const logged = ({ logs }: Stopgap, words: string): number =>
  logs.filter((line) => line.includes(words)).length;

const REFOLDED = 'all that is known was folded anew without them';
const KEPT = 'old snapshots cannot be removed';

describe("where somebody was forgotten and the folder of snapshots is not the service's", () => {
  test('Stopgap starts, says that traces may stay, and removes them when it can', async (t) => {
    const { stopgap, clock, leaveByRoot, give } = await install(t);
    const block = await stopgap.block('account', BOB);
    await tellOfForgotten(stopgap);
    await eventually('all is folded anew', () => logged(stopgap, REFOLDED) === 1);
    await stopgap.app.stop();
    leaveByRoot();
    await stopgap.open();
    assert.equal(logged(stopgap, KEPT), 1);
    assert.equal(stopgap.app.models.ledger.get(block)?.subject.value, BOB);
    give();
    clock.advance(MINUTE);
    await eventually('they are removed', () => logged(stopgap, 'the old snapshots are removed') === 1);
    assert.ok(!existsSync(path.join(stopgap.dir, 'data', 'snapshots', LEFT)));
  });

  test('what is known is folded anew all the same when somebody else is forgotten', async (t) => {
    const { stopgap, leaveByRoot } = await install(t);
    await stopgap.app.stop();
    leaveByRoot();
    await stopgap.open();
    await tellOfForgotten(stopgap);
    await eventually('all is folded anew', () => logged(stopgap, REFOLDED) === 1);
    assert.equal(logged(stopgap, KEPT), 1);
    assert.equal(logged(stopgap, 'could not be taken out of memory'), 0);
  });
});
