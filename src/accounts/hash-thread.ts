import { parentPort } from 'node:worker_threads';
import { argon2id, argon2Verify, bcryptVerify } from 'hash-wasm';
import { verify as shaCryptVerify } from 'unixcrypt';
import type { HashAnswer, HashTold } from './dovecot-hashes.js';

/* The thread in which hashes are computed that would hold the event loop, see dovecot-hashes.ts. */

async function answer(told: HashTold): Promise<HashAnswer['said']> {
  const { password } = told;
  if (told.kind === 'new') return argon2id({ ...told.options, password, outputType: 'encoded' });
  const { kind, hash } = told;
  if (kind === 'bcrypt') return bcryptVerify({ password, hash });
  if (kind === 'argon2') return argon2Verify({ password, hash });
  return shaCryptVerify(Buffer.from(password).toString('utf8'), hash);
}

if (parentPort !== null) {
  const port = parentPort;
  port.on('message', (told: HashTold) => {
    void answer(told).then((said) => {
      port.postMessage({ id: told.id, said } satisfies HashAnswer);
    });
  });
}
