import { v7 } from 'uuid';
import type { NewEvent, RecordedEvent } from '../../../src/kernel/events.js';
import type { Instant } from '../../../src/kernel/time.js';
import { NOON } from '../manual-clock.js';

/** Where tests begin unless they say otherwise. */
export const START: Instant = NOON;

/** A W3C traceparent, as an event carries it. */
export const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/** An event with a fresh id. */
export function newEvent(data: unknown = {}, over: Partial<NewEvent> = {}): NewEvent {
  return { id: v7(), type: 'Noted', at: START, by: 'system:test', data, ...over };
}

export function newEvents(count: number, data: (i: number) => unknown = (i) => ({ i })): NewEvent[] {
  return Array.from({ length: count }, (_, i) => newEvent(data(i)));
}

/** A name that no other test uses: tests may share one store. Without a dash, so that it can be a category. */
export function uniqueCategory(): string {
  return `t${v7().replaceAll('-', '')}`;
}

export async function collect(events: AsyncIterable<RecordedEvent>): Promise<RecordedEvent[]> {
  const all: RecordedEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

export const ids = (events: readonly { readonly id: string }[]): string[] => events.map(({ id }) => id);
export const revisions = (events: readonly RecordedEvent[]): number[] =>
  events.map(({ revision }) => revision);
export const positions = (events: readonly RecordedEvent[]): number[] =>
  events.map(({ position }) => position);

export function rising(numbers: readonly number[]): boolean {
  return numbers.every((n, i) => i === 0 || n > numbers[i - 1]!);
}
