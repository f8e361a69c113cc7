import { parentPort, workerData } from 'node:worker_threads';
import { StopgapError } from '../../kernel/errors.js';
import type { Answer, Piece } from './thread.js';
import { Packer, transfersOf } from './thread.js';
import { TraceReader } from './trace.js';

/* The thread that a trace is parsed in: each piece of it is answered by the messages that it ends. */

if (parentPort !== null) {
  const port = parentPort;
  const reader = new TraceReader(workerData as string);
  const packer = new Packer();
  const answer = (piece: Piece): Answer => {
    try {
      const columns = packer.pack(piece === 'end' ? reader.end() : reader.read(piece));
      return { columns, line: reader.line };
    } catch (error) {
      if (!(error instanceof StopgapError)) throw error;
      const { code, message, details } = error;
      return { fault: { code, message, details } };
    }
  };
  port.on('message', (piece: Piece) => {
    const answered = answer(piece);
    port.postMessage(answered, 'columns' in answered ? transfersOf(answered.columns) : []);
  });
}
