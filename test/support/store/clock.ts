import type { Clock, Instant, Milliseconds } from '../../../src/kernel/time.js';
import { START } from './events.js';

/** A clock that stands still until it is told otherwise. */
export class DrivenClock implements Clock {
  constructor(private instant: Instant = START) {}

  now(): Instant {
    return this.instant;
  }

  advance(by: Milliseconds): void {
    this.instant += by;
  }
}
