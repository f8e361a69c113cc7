import type { TestContext } from 'node:test';
import type { EventStore } from '../../../src/store/port.js';
import { Gate } from '../gate.js';

/** The same store, but for what is given here; a getter is asked each time. */
export function changed(store: EventStore, change: Partial<EventStore>): EventStore {
  return new Proxy(store, {
    get(target, name) {
      if (Object.hasOwn(change, name)) return change[name as keyof EventStore];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

/** Holds back what is written to the streams that begin so, until the gate is opened, or the test ends. */
export function heldBack(
  t: Pick<TestContext, 'after'>,
  streams: string,
): { readonly gate: Gate; readonly through: (store: EventStore) => EventStore } {
  const gate = new Gate();
  t.after(() => gate.open());
  const through = (store: EventStore): EventStore =>
    changed(store, {
      append: async (...args) => {
        if (args[0].startsWith(streams)) await gate.opened;
        return store.append(...args);
      },
    });
  return { gate, through };
}
