export { BullWork, openBullWork } from './work.js';
export type { BullWorkOptions, BullWorkStatus, ConnectionState } from './options.js';
export type { JobCounts, Retries } from './job-queue.js';
export type { History } from './runner.js';
export type { Healed } from '../reconcile.js';
