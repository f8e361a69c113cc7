import { Metadata, status, type ServiceError } from '@grpc/grpc-js';

export type Operation = 'append' | 'read' | 'subscribe' | 'features' | 'gossip';

export interface Member {
  readonly host: string;
  readonly port: number;
  readonly state: 'leader' | 'follower';
  readonly alive: boolean;
}

/** What the stand-in is told to do wrong; each lasts until it is told otherwise. */
export class Faults {
  /** These are taken in and never answered, and nothing is written. */
  stalled: readonly Operation[] = [];
  /** So are appends to this stream. */
  stalledStream: string | undefined;
  /** Appends are written and never answered. */
  mute = false;
  /** Appends are answered so many milliseconds late. */
  slow = 0;
  /** Bytes of the largest append that is taken, by default as the server has it. */
  maxAppend = 1024 * 1024;
  /** Where the leader is, if it is another node. */
  leader: { readonly host: string; readonly port: number } | undefined;
  /** It has lost its cluster and no longer leads: requests for the leader are refused. */
  notReady = false;
  /** Every call is refused: the caller lacks the rights. */
  denied = false;
  /** Appends are refused alike. */
  readOnly = false;
  /** Who may call: the value of the authorization header. */
  authorization: string | undefined;
  members: readonly Member[] | undefined;

  /** The refusal of a call, if there is any. */
  refusal(metadata: Metadata): Partial<ServiceError> | undefined {
    if (this.authorization !== undefined && metadata.get('authorization')[0] !== this.authorization)
      return failure(status.UNAUTHENTICATED, 'Bad credentials');
    if (this.denied) return accessDenied();
    if (metadata.get('requires-leader')[0] !== 'true') return undefined;
    if (this.notReady) return failure(status.UNAVAILABLE, 'Server Is Not Ready');
    if (!this.leader) return undefined;
    const { host, port } = this.leader;
    const trailers = {
      exception: 'not-leader',
      'leader-endpoint-host': host,
      'leader-endpoint-port': String(port),
    };
    return failure(status.NOT_FOUND, `Leader info available. Leader is at ${host}:${port}`, trailers);
  }
}

export function failure(
  code: status,
  details: string,
  trailers: Readonly<Record<string, string>> = {},
): Partial<ServiceError> {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(trailers)) metadata.set(key, value);
  return { code, details, metadata };
}

export const accessDenied = () =>
  failure(status.PERMISSION_DENIED, 'Access Denied', { exception: 'access-denied' });

/** What the server of before 23.10.1 says to a subscriber that does not keep up. */
export const TOO_SLOW = failure(
  status.ABORTED,
  'Operation timed out: Consumer too slow to handle event while live. Client resubscription required.',
);

export const streamDeleted = (stream: string) =>
  failure(status.FAILED_PRECONDITION, `Event stream '${stream}' is deleted.`, {
    exception: 'stream-deleted',
    'stream-name': stream,
  });
