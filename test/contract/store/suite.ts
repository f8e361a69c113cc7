import { after, before, describe } from 'node:test';
import { anotherLogContract } from './another-log.js';
import { appendContract } from './appends.js';
import { forgettingContract } from './forgetting.js';
import type { StoreHarness, StoreUnderTest } from './harness.js';
import { healthContract } from './health.js';
import { lifecycleContract } from './lifecycle.js';
import { modelContract } from './model.js';
import { readContract } from './reads.js';
import { retentionContract } from './retention.js';
import { handOverContract } from './hand-over.js';
import { subscriptionContract } from './subscriptions.js';

/** Access to the store under test, which exists only while the tests run. */
export type Subject = () => StoreUnderTest;

/**
 * What `src/store/port.ts` promises, asserted on any adapter. Tests share one store and so touch only
 * categories of their own; they assume nothing about positions but their order.
 *
 * @param subscribedOnly only what depends on what a subscription is told: for a server of another version, which tells it
 * differently and does all else alike
 */
export function storeContract(name: string, harness: StoreHarness, subscribedOnly = false): void {
  describe(`event store: ${name}`, () => {
    let open: StoreUnderTest | undefined;
    before(async () => {
      open = await harness.open();
    });
    after(async () => {
      await open?.destroy();
    });
    const subject: Subject = () => open!;

    if (!subscribedOnly) {
      appendContract(subject, harness);
      readContract(subject);
      modelContract(subject, harness);
      retentionContract(subject, harness);
      healthContract(harness);
      forgettingContract(harness);
    }
    subscriptionContract(subject);
    handOverContract(subject);
    lifecycleContract(harness);
    anotherLogContract(harness);
  });
}
