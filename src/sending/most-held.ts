/**
 * What may be on hold for one block. Held mail fills the spool of the mail server until somebody decides on it, and a thief sends
 * thousands of messages in a second. A person who looks through what is held learns no more from so many.
 */
export const MOST_HELD = { messages: 1000, bytes: 2 ** 30 } as const;
export const MOST_HELD_WORDS = '1,000 messages or 1 GiB';
