import { streamNameFilter, type Filter, type Position } from '@kurrent/kurrentdb-client';
import { categoryOf, type RecordedEvent } from '../../kernel/events.js';

/** Events that the server passes over before it tells how far it has come. */
const SEARCH_WINDOW = 256;

/** Which events are wanted: as the server filters them, and exactly. */
export class Selection {
  private readonly categories: ReadonlySet<string> | undefined;

  constructor(categories: readonly string[] | undefined) {
    this.categories = categories && new Set(categories);
  }

  /** Nothing can match. */
  get empty(): boolean {
    return this.categories?.size === 0;
  }

  /**
   * By prefix of the stream's name, which the server compares fastest. It lets through a little too much: a
   * category is a stream of its own name too, so the dash cannot be part of the prefix.
   */
  filter(checkpointReached?: (position: Position) => void): Filter {
    const options = {
      maxSearchWindow: SEARCH_WINDOW,
      checkpointInterval: 1,
      ...(checkpointReached && {
        checkpointReached: (_subscription: unknown, position: Position) => checkpointReached(position),
      }),
    };
    if (this.categories && this.categories.size > 0)
      return streamNameFilter({ prefixes: [...this.categories], ...options });
    // Without system streams, of which a server may have more than of all others.
    return streamNameFilter({ regex: this.categories ? '^$' : '^[^$]', ...options });
  }

  wants(event: RecordedEvent): boolean {
    return !this.categories || this.categories.has(categoryOf(event.stream));
  }
}
