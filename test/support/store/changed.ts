import type { EventStore } from '../../../src/store/port.js';

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
