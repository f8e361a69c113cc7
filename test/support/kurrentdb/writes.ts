import { setTimeout as delay } from 'node:timers/promises';
import {
  status,
  type Metadata,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServiceError,
} from '@grpc/grpc-js';
import { accessDenied, failure, streamDeleted, type Faults } from './faults.js';
import type { Expected, Log, Proposed, Verdict } from './log.js';
import * as message from './messages.js';
import { shared, streams, type StreamsPb } from './protocol.js';

interface Batch {
  readonly options: StreamsPb.BatchAppendReq.Options;
  readonly events: Proposed[];
}

type Outcome =
  Verdict | { readonly kind: 'too large'; readonly most: number } | { readonly kind: 'too late' };

/** Serves Append, BatchAppend, Delete and Tombstone. */
export class Writes {
  constructor(
    private readonly log: Log,
    private readonly faults: Faults,
  ) {}

  readonly append = (
    call: ServerReadableStream<StreamsPb.AppendReq, StreamsPb.AppendResp>,
    answer: sendUnaryData<StreamsPb.AppendResp>,
  ): void => {
    let options: StreamsPb.AppendReq.Options | undefined;
    const events: Proposed[] = [];
    call.on('data', (request: StreamsPb.AppendReq) => {
      options ??= request.getOptions();
      if (request.hasProposedMessage()) events.push(proposed(request.getProposedMessage()!));
    });
    call.on('end', () => {
      const refusal = this.refusal(call.metadata);
      if (refusal) answer(refusal);
      else if (options) void this.finishAppend(options, events, answer);
    });
  };

  private async finishAppend(
    options: StreamsPb.AppendReq.Options,
    events: readonly Proposed[],
    answer: sendUnaryData<StreamsPb.AppendResp>,
  ): Promise<void> {
    const stream = message.nameOf(options.getStreamIdentifier());
    const expected = expectedOf(options, options.hasRevision() ? options.getRevision() : undefined);
    const outcome = await this.decide(stream, expected, events);
    if (!outcome) return;
    if (outcome.kind === 'deleted') answer(streamDeleted(stream));
    else if (outcome.kind === 'too large') answer(tooLarge(outcome.most));
    else if (outcome.kind === 'too late') answer(failure(status.DEADLINE_EXCEEDED, 'Timeout'));
    else if (outcome.kind === 'wrong') answer(null, wrongVersion(expected, outcome.current));
    else {
      const position = String(outcome.last.position);
      const success = new streams.AppendResp.Success()
        .setCurrentRevision(String(outcome.last.revision))
        .setPosition(
          new streams.AppendResp.Position().setCommitPosition(position).setPreparePosition(position),
        );
      answer(null, new streams.AppendResp().setSuccess(success));
    }
  }

  readonly batchAppend = (
    call: ServerDuplexStream<StreamsPb.BatchAppendReq, StreamsPb.BatchAppendResp>,
  ): void => {
    const batches = new Map<string, Batch>();
    const refusal = this.refusal(call.metadata);
    if (refusal) {
      call.emit('error', refusal);
      return;
    }
    call.on('data', (request: StreamsPb.BatchAppendReq) => {
      const late = this.refusal(call.metadata);
      if (late) {
        call.emit('error', late);
        return;
      }
      const id = message.idOf(request.getCorrelationId());
      let batch = batches.get(id);
      if (!batch) batches.set(id, (batch = { options: request.getOptions()!, events: [] }));
      for (const event of request.getProposedMessagesList()) batch.events.push(proposed(event));
      if (!request.getIsFinal()) return;
      batches.delete(id);
      void this.finishBatch(call, request, batch);
    });
    call.on('end', () => call.end());
  };

  private async finishBatch(
    call: ServerDuplexStream<StreamsPb.BatchAppendReq, StreamsPb.BatchAppendResp>,
    request: StreamsPb.BatchAppendReq,
    { options, events }: Batch,
  ): Promise<void> {
    const stream = message.nameOf(options.getStreamIdentifier());
    const expected = expectedOf(
      options,
      options.hasStreamPosition() ? options.getStreamPosition() : undefined,
    );
    // An instant by the client's clock, and compared with the server's.
    const deadline = options.getDeadline21100()?.toDate().getTime() ?? Infinity;
    const outcome: Outcome | undefined =
      deadline <= this.log.now() ? { kind: 'too late' } : await this.decide(stream, expected, events);
    if (!outcome || call.destroyed || call.cancelled) return;
    const response = new streams.BatchAppendResp()
      .setCorrelationId(request.getCorrelationId())
      .setStreamIdentifier(message.identifier(stream));
    if (outcome.kind === 'written' || outcome.kind === 'idempotent') {
      const position = String(outcome.last.position);
      response.setSuccess(
        new streams.BatchAppendResp.Success()
          .setCurrentRevision(String(outcome.last.revision))
          .setPosition(
            new shared.AllStreamPosition().setCommitPosition(position).setPreparePosition(position),
          ),
      );
    } else {
      response.setError(batchError(outcome, stream, expected));
    }
    call.write(response);
  }

  readonly delete = (
    call: ServerUnaryCall<StreamsPb.DeleteReq, StreamsPb.DeleteResp>,
    answer: sendUnaryData<StreamsPb.DeleteResp>,
  ): void => {
    const options = call.request.getOptions()!;
    const stream = message.nameOf(options.getStreamIdentifier());
    const expected = options.hasRevision() ? Number(options.getRevision()) : undefined;
    const actual = this.log.delete(stream, expected);
    if (actual === undefined) answer(null, new streams.DeleteResp().setNoPosition(new shared.Empty()));
    else answer(wrongDeletion(stream, expected!, actual));
  };

  readonly tombstone = (
    call: ServerUnaryCall<StreamsPb.TombstoneReq, StreamsPb.TombstoneResp>,
    answer: sendUnaryData<StreamsPb.TombstoneResp>,
  ): void => {
    this.log.tombstone(message.nameOf(call.request.getOptions()!.getStreamIdentifier()));
    answer(null, new streams.TombstoneResp().setNoPosition(new shared.Empty()));
  };

  private refusal(metadata: Metadata): Partial<ServiceError> | undefined {
    return this.faults.readOnly ? accessDenied() : this.faults.refusal(metadata);
  }

  /** Writes as far as faults allow it; undefined if no answer may be given. */
  private async decide(
    stream: string,
    expected: Expected,
    events: readonly Proposed[],
  ): Promise<Outcome | undefined> {
    if (this.faults.stalled.includes('append') || this.faults.stalledStream === stream) return undefined;
    const size = events.reduce(
      (sum, { type, data, metadata }) => sum + data.length + metadata.length + 2 * type.length,
      0,
    );
    const most = this.faults.maxAppend;
    const outcome: Outcome =
      size > most ? { kind: 'too large', most } : this.log.append(stream, expected, events);
    // A refusal needs no such wait, and so may come before that for which it refuses can be read.
    if ('last' in outcome) await this.log.readable(outcome.last);
    if (this.faults.slow > 0) await delay(this.faults.slow);
    return this.faults.mute ? undefined : outcome;
  }
}

type ProposedMessage = StreamsPb.AppendReq.ProposedMessage | StreamsPb.BatchAppendReq.ProposedMessage;

function proposed(event: ProposedMessage): Proposed {
  const metadata = event.getMetadataMap();
  return {
    id: message.idOf(event.getId()).toLowerCase(),
    type: metadata.get('type')!,
    contentType: metadata.get('content-type')!,
    data: Buffer.from(event.getData_asU8()),
    metadata: Buffer.from(event.getCustomMetadata_asU8()),
  };
}

function expectedOf(
  options: { hasAny(): boolean; hasNoStream(): boolean; hasStreamExists(): boolean },
  revision: string | undefined,
): Expected {
  if (options.hasNoStream()) return 'none';
  if (options.hasStreamExists()) return 'exists';
  return options.hasAny() || revision === undefined ? 'any' : Number(revision);
}

function wrongVersion(expected: Expected, current: number | undefined): StreamsPb.AppendResp {
  const wrong = new streams.AppendResp.WrongExpectedVersion();
  if (current === undefined) wrong.setCurrentNoStream(new shared.Empty());
  else wrong.setCurrentRevision(String(current));
  if (expected === 'any') wrong.setExpectedAny(new shared.Empty());
  else if (expected === 'none') wrong.setExpectedNoStream(new shared.Empty());
  else if (expected === 'exists') wrong.setExpectedStreamExists(new shared.Empty());
  else wrong.setExpectedRevision(String(expected));
  return new streams.AppendResp().setWrongExpectedVersion(wrong);
}

function batchError(
  outcome: Exclude<Outcome, { readonly kind: 'written' } | { readonly kind: 'idempotent' }>,
  stream: string,
  expected: Expected,
) {
  if (outcome.kind === 'deleted') {
    const deleted = new shared.StreamDeleted().setStreamIdentifier(message.identifier(stream));
    return message.errorStatus('Stream deleted', deleted, 'StreamDeleted');
  }
  if (outcome.kind === 'too large') {
    const size = new shared.MaximumAppendSizeExceeded().setMaxappendsize(outcome.most);
    return message.errorStatus('Maximum Append Size Exceeded', size, 'MaximumAppendSizeExceeded');
  }
  if (outcome.kind === 'too late') {
    return message.errorStatus('Timeout', new shared.Timeout(), 'Timeout');
  }
  const wrong = new shared.WrongExpectedVersion();
  if (outcome.current !== undefined) wrong.setCurrentStreamRevision(String(outcome.current));
  if (typeof expected === 'number') wrong.setExpectedStreamPosition(String(expected));
  return message.errorStatus('Wrong expected version', wrong, 'WrongExpectedVersion');
}

function wrongDeletion(stream: string, expected: number, actual: number): Partial<ServiceError> {
  return failure(status.FAILED_PRECONDITION, `Append failed due to WrongExpectedVersion.`, {
    exception: 'wrong-expected-version',
    'stream-name': stream,
    'expected-version': String(expected),
    'actual-version': String(actual),
  });
}

function tooLarge(most: number): Partial<ServiceError> {
  return failure(3, `Maximum Append Size of ${most} Exceeded.`, {
    exception: 'maximum-append-size-exceeded',
    'maximum-append-size': String(most),
  });
}
