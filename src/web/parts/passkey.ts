import type { Schemas, Who } from '../api.js';
import { answered, api } from '../api.js';

/** Whether this browser has passkeys, and gives them as JSON. */
export const hasPasskeys =
  typeof PublicKeyCredential === 'function' && 'parseCreationOptionsFromJSON' in PublicKeyCredential;

/** What a browser says where a device gives nothing. */
const FAULTS: Readonly<Record<string, string>> = {
  NotAllowedError: 'No passkey was used: it was cancelled, took too long, or there is none for this place.',
  InvalidStateError: 'This device has a passkey for you already.',
  SecurityError: 'Passkeys do not work at this address. Open the page by the name that it is meant for.',
};

/** Asks the device. @throws Error in words for what it refuses */
async function fromDevice(asked: Promise<Credential | null>): Promise<never> {
  try {
    // The types of what it holds are those of the API, which checks it.
    return (await (asked as Promise<PublicKeyCredential>)).toJSON() as never;
  } catch (error) {
    throw new Error(FAULTS[(error as Error).name] ?? (error as Error).message, { cause: error });
  }
}

export async function signInByPasskey(): Promise<Who> {
  const options = await answered(api.POST('/api/v1/sign-in/passkey/begin'));
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  const credential = await fromDevice(navigator.credentials.get({ publicKey }));
  return answered(api.POST('/api/v1/sign-in/passkey', { body: { credential } }));
}

/** @throws ApiError with the field that is wrong */
export async function addPasskey(name: string, password: string): Promise<Schemas['Passkey']> {
  const options = await answered(api.POST('/api/v1/session/passkeys/begin', { body: { name, password } }));
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  const credential = await fromDevice(navigator.credentials.create({ publicKey }));
  return answered(api.POST('/api/v1/session/passkeys', { body: { name, credential } }));
}
