import { parentPort } from 'node:worker_threads';
import type {
  VerifyAuthenticationResponseOpts,
  VerifyRegistrationResponseOpts,
} from '@simplewebauthn/server';
import { verifyAuthenticationResponse, verifyRegistrationResponse } from '@simplewebauthn/server';
import { LONGEST_KEY } from '../accounts/passkeys.js';

/*
 * The thread in which answers of devices are checked: what does that takes a third of a second to load, and reads certificates
 * and CBOR of strangers. See passkey-checks.ts.
 */

/** What the thread is told: the answer of a device, and what it must be. */
export type PasskeyTold = { readonly id: number } & (
  | { readonly kind: 'new'; readonly options: VerifyRegistrationResponseOpts }
  | { readonly kind: 'known'; readonly options: VerifyAuthenticationResponseOpts }
);

/** What a device has proved: a new key, or that it has one that is known. */
export interface Proved {
  /** Of a new key; empty of one that is known. */
  readonly key: string;
  readonly counter: number;
}

export interface PasskeyAnswer {
  readonly id: number;
  /** Undefined if it has proved nothing. */
  readonly proved: Proved | undefined;
  /** Why, for the log. */
  readonly fault?: string;
}

async function proved(told: PasskeyTold): Promise<Proved | undefined> {
  if (told.kind === 'known') {
    const { verified, authenticationInfo } = await verifyAuthenticationResponse(told.options);
    return verified ? { key: '', counter: authenticationInfo.newCounter } : undefined;
  }
  const { verified, registrationInfo } = await verifyRegistrationResponse(told.options);
  if (!verified) return undefined;
  const { id, publicKey, counter } = registrationInfo.credential;
  // The name beside it is not signed: it could be that of somebody else's key.
  if (id !== told.options.response.id) return undefined;
  const key = Buffer.from(publicKey).toString('base64url');
  return key.length <= LONGEST_KEY ? { key, counter } : undefined;
}

if (parentPort !== null) {
  const port = parentPort;
  // Certificates of strangers name lists of revoked ones, which the library would ask for at any address.
  globalThis.fetch = () => Promise.reject(new Error('nothing is fetched here'));
  port.on('message', (told: PasskeyTold) => {
    const { id } = told;
    proved(told).then(
      (done) => port.postMessage({ id, proved: done } satisfies PasskeyAnswer),
      (error: unknown) =>
        port.postMessage({
          id,
          proved: undefined,
          fault: String(error).slice(0, 300),
        } satisfies PasskeyAnswer),
    );
  });
}
