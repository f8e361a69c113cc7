import { parentPort } from 'node:worker_threads';
import type { Told } from '../../../src/backtest/jobs.js';
import { CANCEL } from '../../../src/backtest/jobs.js';

/* Replaces the thread of a back-test: has done a quarter, and goes on until it is cancelled. */

const port = parentPort!;
const tell = (told: Told): void => port.postMessage(told);
port.on('message', (message) => {
  if (message !== CANCEL) return;
  tell({ kind: 'cancelled' });
  port.close();
});
tell({
  kind: 'progress',
  progress: { done: 25, total: 100, messages: 1000, recipients: 1000, refused: 10, at: 0 },
});
