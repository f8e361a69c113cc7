import type { RawReply } from './reply.js';

/** The session is of no use any more; why is in the message. */
export class SessionLost extends Error {
  constructor(
    message: string,
    /** True where the upstream closed the session (or said 421): a fresh one may well serve. */
    readonly closedByUpstream: boolean,
    /** The message without what the upstream itself has said. */
    readonly fault: string = message,
  ) {
    super(message);
    this.name = 'SessionLost';
  }
}

/** What came of DATA. */
export type DataOutcome =
  | { readonly kind: 'refused'; readonly reply: RawReply }
  | { readonly kind: 'withdrawn' }
  /** One reply, with LMTP one for each recipient; fewer where the upstream went away between them. */
  | { readonly kind: 'answered'; readonly replies: readonly RawReply[] };
