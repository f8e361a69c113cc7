import { InvalidInput } from '../../kernel/errors.js';
import type { Instant, Milliseconds } from '../../kernel/time.js';
import { DAY, MINUTE, SECOND } from '../../kernel/time.js';

/** Zones change their offset at full quarters of an hour. */
const QUARTER: Milliseconds = 15 * MINUTE;
/** How late a line may come: by less than this it does not mean that the clock was put back. */
const LATE: Milliseconds = MINUTE;
const REMEMBERED_QUARTERS = 10_000;

/** The zone of this process. */
export function ownZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** The local time of one zone, by the rules that Node has of it. */
export class Zone {
  readonly #format: Intl.DateTimeFormat;
  /** By the quarter of an hour on the wall: the offsets that it may have, the one that came first first. */
  readonly #offsets = new Map<number, readonly Milliseconds[]>();

  /**
   * @param name by the IANA: `Europe/Berlin`, `UTC`
   * @throws InvalidInput naming `field`
   */
  constructor(name: string, field = 'timezone') {
    try {
      this.#format = new Intl.DateTimeFormat('en-US', {
        timeZone: name,
        hourCycle: 'h23',
        year: 'numeric',
        month: 'numeric',
        day: 'numeric',
        hour: 'numeric',
        minute: 'numeric',
        second: 'numeric',
      });
    } catch {
      throw new InvalidInput(
        field,
        `"${name}" is no time zone: use a name such as Europe/Berlin, America/New_York or UTC`,
      );
    }
  }

  /**
   * When a clock on the wall showed `local`. An hour that comes twice is the second if the line before comes after the
   * first; one that was left out is what a clock would show that nobody has put forward.
   *
   * @param local what it showed, as if it were UTC
   * @param before the time of the line before, in the order of the log
   */
  instantOf(local: Instant, before: Instant | undefined): Instant {
    const [first, second] = this.#possible(local);
    const instant = local - first!;
    if (second === undefined || before === undefined || before <= instant + LATE) return instant;
    return local - second;
  }

  #possible(local: Instant): readonly Milliseconds[] {
    const quarter = Math.floor(local / QUARTER);
    let offsets = this.#offsets.get(quarter);
    if (offsets === undefined) {
      if (this.#offsets.size >= REMEMBERED_QUARTERS) this.#offsets.clear();
      this.#offsets.set(quarter, (offsets = this.#find(quarter * QUARTER)));
    }
    return offsets;
  }

  #find(local: Instant): readonly Milliseconds[] {
    const before = this.#offsetAt(local - DAY);
    const after = this.#offsetAt(local + DAY);
    const fitting = (before === after ? [before] : [before, after]).filter(
      (offset) => this.#offsetAt(local - offset) === offset,
    );
    return fitting.length === 0 ? [before] : fitting.sort((a, b) => b - a);
  }

  /** What the zone is ahead of UTC. */
  #offsetAt(instant: Instant): Milliseconds {
    const parts: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {};
    for (const { type, value } of this.#format.formatToParts(instant)) parts[type] = Number(value);
    const { year, month, day, hour, minute, second } = parts;
    return Date.UTC(year!, month! - 1, day, hour, minute, second) - Math.floor(instant / SECOND) * SECOND;
  }
}
