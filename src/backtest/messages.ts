import type { Instant } from '../kernel/time.js';
import type { StoreLocation } from '../store/open-for-reading.js';
import type { BacktestReport } from './report.js';
import type { Progress } from './run.js';
import type { RequestedRules } from './rule-sets.js';

/** What the thread of a back-test is given. */
export interface Assignment {
  readonly location: StoreLocation;
  readonly from: Instant | undefined;
  readonly to: Instant | undefined;
  readonly rules: RequestedRules;
  readonly against: RequestedRules | undefined;
  /** Cases that the report lists. */
  readonly most: number;
}

/** What it tells; `done`, `cancelled` and `failed` come last. */
export type Told =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'notice'; readonly text: string }
  | { readonly kind: 'done'; readonly report: BacktestReport }
  | { readonly kind: 'cancelled' }
  /** `expected`: the message is meant for whoever asked. */
  | { readonly kind: 'failed'; readonly message: string; readonly expected: boolean };

/** The one thing that it is told. */
export const CANCEL = 'cancel';
