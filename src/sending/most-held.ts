import type { Milliseconds } from '../kernel/time.js';
import { DAY } from '../kernel/time.js';

/**
 * How long is kept what is on hold. It is the only list of mail that waits for a person, and a block may last for ever: its records
 * must not go with those of sends, while the mail server holds the mail still.
 */
export const HELD_KEPT: Milliseconds = 400 * DAY;

/**
 * What may be on hold for one block. Held mail fills the spool of the mail server until somebody decides on it, and a thief sends
 * thousands of messages in a second. A person who looks through what is held learns no more from so many.
 */
export const MOST_HELD = { messages: 1000, bytes: 2 ** 30 } as const;
export const MOST_HELD_WORDS = '1,000 messages or 1 GiB';
