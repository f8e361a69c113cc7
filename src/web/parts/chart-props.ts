import type { Subject } from '../api.js';

/** What is drawn on the chart besides what was sent. All instants and spans are milliseconds. */
export interface VolumeChartProps {
  readonly type: Subject['type'];
  readonly value: string;
  readonly from: number;
  readonly to: number;
  /** How long a bar is: at most 1,000 from `from` to `to`. */
  readonly step: number;
  readonly count?: 'recipients' | 'messages';
  /** The window of the rule: a line then shows what was sent within it, which is what the limit limits. */
  readonly window?: number | undefined;
  /** What is usual within the window (without one: within a step). */
  readonly band?: { readonly from: number; readonly to: number } | undefined;
  readonly limit?: number | undefined;
  /** Instants to mark, as when a rule tripped. */
  readonly marks?: readonly { readonly at: number; readonly text: string }[] | undefined;
}

export interface Point {
  readonly at: number;
  readonly sent: number;
  readonly inWindow: number;
  readonly refusals: number;
}
