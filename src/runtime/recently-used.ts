import { LRUCache } from 'lru-cache';

/**
 * Knows the entries that were used last, up to so many. Unlike a cache with `max` it takes no room for all of them from the
 * start: most installations never need it.
 */
export function recentlyUsed<Key extends string | number, Value extends object | string | number | true>(
  most: number,
  options: LRUCache.OptionsBase<Key, Value, unknown> = {},
): LRUCache<Key, Value> {
  return new LRUCache<Key, Value>({ ...options, maxSize: most, sizeCalculation: () => 1 });
}
