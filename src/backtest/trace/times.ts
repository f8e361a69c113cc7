import type { Instant, Milliseconds } from '../../kernel/time.js';
import { DAY, HOUR, MINUTE, SECOND, parseInstant } from '../../kernel/time.js';

const [ZERO, COLON, POINT, T, Z] = [48, 58, 46, 84, 90];
/** What is no number makes every sum that it is part of negative. */
const NONE = -DAY * 1000;

/** Reads times that come in order: most are of the day of the one before, which is then not read again. */
export class Times {
  /** `2016-01-04`, and when it began. */
  #day = '?';
  #begin: Instant = 0;

  /** See {@link parseInstant}. */
  read(text: string): Instant | undefined {
    const time = timeOfDay(text);
    if (time >= 0 && text.startsWith(this.#day)) return this.#begin + time;
    const at = parseInstant(text);
    if (at !== undefined && time >= 0) {
      this.#day = text.slice(0, 10);
      this.#begin = at - time;
    }
    return at;
  }
}

/** The time within the day of `2016-01-04T09:39:38.771Z`; negative where it is written in any other form. */
function timeOfDay(text: string): Milliseconds {
  if (text.length !== 24 || text.charCodeAt(10) !== T || text.charCodeAt(23) !== Z) return NONE;
  if (text.charCodeAt(13) !== COLON || text.charCodeAt(16) !== COLON || text.charCodeAt(19) !== POINT)
    return NONE;
  const [hours, minutes, seconds] = [twoDigits(text, 11), twoDigits(text, 14), twoDigits(text, 17)];
  if (hours > 23 || minutes > 59 || seconds > 59) return NONE;
  const milliseconds = twoDigits(text, 20) * 10 + digit(text, 22);
  return hours * HOUR + minutes * MINUTE + seconds * SECOND + milliseconds;
}

function twoDigits(text: string, index: number): number {
  return digit(text, index) * 10 + digit(text, index + 1);
}

function digit(text: string, index: number): number {
  const value = text.charCodeAt(index) - ZERO;
  return value >= 0 && value <= 9 ? value : NONE;
}
