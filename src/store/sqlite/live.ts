import type { RecordedEvent } from '../../kernel/events.js';

/** One who follows live; told of each event in the order of positions. */
export interface Follower {
  /** True while it wants events from memory; false while it reads the file. */
  readonly live: boolean;
  offer(event: RecordedEvent): void;
  /** Events were written that will not be offered: they must be read from the file. */
  missed(): void;
}

/** Hands committed events to whoever follows, and knows how far the store has come. */
export class LiveFeed {
  private readonly followers = new Set<Follower>();

  private position = 0;

  /** Position of the last event known to be written; 0 before the first. */
  get head(): number {
    return this.position;
  }

  join(follower: Follower): void {
    this.followers.add(follower);
  }

  leave(follower: Follower): void {
    this.followers.delete(follower);
  }

  /** @param make builds the events, asked only where somebody follows */
  committed(head: number, make: () => readonly RecordedEvent[]): void {
    this.position = head;
    let events: readonly RecordedEvent[] | undefined;
    for (const follower of this.followers) {
      if (!follower.live) continue;
      events ??= make();
      for (const event of events) follower.offer(event);
    }
  }

  /** A writer began anew and found the store at `head`: what lies between was written but never told. */
  resume(head: number): void {
    if (head <= this.position) return;
    this.position = head;
    for (const follower of this.followers) follower.missed();
  }
}
