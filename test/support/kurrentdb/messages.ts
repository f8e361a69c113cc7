import type { Stored } from './log.js';
import {
  any,
  shared,
  status,
  streams,
  timestamp,
  type SharedPb,
  type StatusPb,
  type StreamsPb,
} from './protocol.js';

const TICKS_PER_MILLISECOND = 10_000n;

export function nameOf(identifier: SharedPb.StreamIdentifier | undefined): string {
  return Buffer.from(identifier!.getStreamName_asU8()).toString('utf8');
}

export function identifier(name: string): SharedPb.StreamIdentifier {
  return new shared.StreamIdentifier().setStreamName(Buffer.from(name, 'utf8'));
}

export function idOf(uuid: SharedPb.UUID | undefined): string {
  if (!uuid?.hasStructured()) return uuid?.getString() ?? '';
  const hex = (bits: string) => BigInt.asUintN(64, BigInt(bits)).toString(16).padStart(16, '0');
  const structured = uuid.getStructured()!;
  const text = hex(structured.getMostSignificantBits()) + hex(structured.getLeastSignificantBits());
  return text.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function uuid(id: string, structured: boolean): SharedPb.UUID {
  if (!structured) return new shared.UUID().setString(id);
  const text = id.replaceAll('-', '');
  const bits = (hex: string) => BigInt.asIntN(64, BigInt(`0x${hex}`)).toString();
  return new shared.UUID().setStructured(
    new shared.UUID.Structured()
      .setMostSignificantBits(bits(text.slice(0, 16)))
      .setLeastSignificantBits(bits(text.slice(16))),
  );
}

export function eventMessage(event: Stored, structured: boolean): StreamsPb.ReadResp {
  const position = String(event.position);
  const recorded = new streams.ReadResp.ReadEvent.RecordedEvent()
    .setId(uuid(event.id, structured))
    .setStreamIdentifier(identifier(event.stream))
    .setStreamRevision(String(event.revision))
    .setCommitPosition(position)
    .setPreparePosition(position)
    .setData(event.data)
    .setCustomMetadata(event.metadata);
  recorded
    .getMetadataMap()
    .set('type', event.type)
    .set('content-type', event.contentType)
    .set('created', String(BigInt(event.created) * TICKS_PER_MILLISECOND));
  return new streams.ReadResp().setEvent(
    new streams.ReadResp.ReadEvent().setEvent(recorded).setCommitPosition(position),
  );
}

export function notFoundMessage(stream: string): StreamsPb.ReadResp {
  return new streams.ReadResp().setStreamNotFound(
    new streams.ReadResp.StreamNotFound().setStreamIdentifier(identifier(stream)),
  );
}

export function confirmationMessage(): StreamsPb.ReadResp {
  return new streams.ReadResp().setConfirmation(
    new streams.ReadResp.SubscriptionConfirmation().setSubscriptionId(crypto.randomUUID()),
  );
}

export function checkpointMessage(position: number | bigint, now: number): StreamsPb.ReadResp {
  return new streams.ReadResp().setCheckpoint(
    new streams.ReadResp.Checkpoint()
      .setCommitPosition(String(position))
      .setPreparePosition(String(position))
      .setTimestamp(instant(now)),
  );
}

export function caughtUpMessage(position: number, now: number): StreamsPb.ReadResp {
  return new streams.ReadResp().setCaughtUp(
    new streams.ReadResp.CaughtUp()
      .setTimestamp(instant(now))
      .setPosition(
        new streams.ReadResp.Position()
          .setCommitPosition(String(position))
          .setPreparePosition(String(position)),
      ),
  );
}

export function bareCaughtUpMessage(): StreamsPb.ReadResp {
  return new streams.ReadResp().setCaughtUp(new streams.ReadResp.CaughtUp());
}

function instant(now: number) {
  return timestamp.Timestamp.fromDate(new Date(now));
}

/** A google.rpc.Status that carries one of the server's errors, as BatchAppend answers it. */
export function errorStatus(
  message: string,
  detail: { serializeBinary(): Uint8Array },
  name: string,
): StatusPb.Status {
  const details = new any.Any();
  details.pack(detail.serializeBinary(), `event_store.client.${name}`);
  return new status.Status().setMessage(message).setDetails(details);
}
