import { parentPort, workerData } from 'node:worker_threads';
import { StopgapError, messageOf } from '../kernel/errors.js';
import type { Milliseconds } from '../kernel/time.js';
import { SECOND } from '../kernel/time.js';
import { openForReading } from '../store/open-for-reading.js';
import { systemClock } from '../runtime/clock.js';
import { RecordedHistory, RecordedFeedback, rulesInForce } from './history.js';
import type { Assignment, Told } from './jobs.js';
import { CANCEL } from './jobs.js';
import type { Progress } from './run.js';
import { BacktestCancelled, IN_FORCE, runBacktest } from './run.js';
import type { BacktestReport } from './report.js';
import type { Candidate } from './trial.js';

/*
 * The thread that a back-test of the server runs in: it reads the store by a connection of its own, so that neither the
 * main thread nor an append waits for it.
 */

const PACE: Milliseconds = SECOND / 4;

if (parentPort !== null) {
  const port = parentPort;
  const cancelled = new AbortController();
  port.on('message', (message) => message === CANCEL && cancelled.abort());
  const tell = (told: Told): void => port.postMessage(told);
  try {
    tell({ kind: 'done', report: await work(workerData as Assignment, tell, cancelled.signal) });
  } catch (error) {
    if (error instanceof BacktestCancelled) tell({ kind: 'cancelled' });
    else tell({ kind: 'failed', message: messageOf(error), expected: error instanceof StopgapError });
  }
  port.close();
}

async function work(
  { location, from, to, rules, against, most }: Assignment,
  tell: (told: Told) => void,
  signal: AbortSignal,
): Promise<BacktestReport> {
  const store = await openForReading(location, systemClock, (text) => tell({ kind: 'notice', text }));
  try {
    const candidates: Candidate[] = [];
    for (const asked of against === undefined ? [rules] : [rules, against])
      candidates.push(asked === IN_FORCE ? await rulesInForce(store) : asked);
    const judgements = await RecordedFeedback.of(store);
    let toldAt = -Infinity;
    let last: Progress | undefined;
    const report = await runBacktest({
      source: new RecordedHistory(store),
      candidates,
      from,
      to,
      most,
      signal,
      judge: (one) => judgements.of(one),
      onProgress(progress) {
        last = progress;
        const now = systemClock.now();
        if (now < toldAt + PACE) return;
        toldAt = now;
        tell({ kind: 'progress', progress });
      },
    });
    // The last progress is always sent: a client must see the whole before it sees the end.
    if (last !== undefined) tell({ kind: 'progress', progress: last });
    return report;
  } finally {
    await store.close();
  }
}
