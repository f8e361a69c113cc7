import type { KeyObject } from 'node:crypto';
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

type Json = Readonly<Record<string, unknown>>;

interface Signing {
  readonly challenge: string;
  readonly origin: string;
  readonly rpId: string;
  /** Whether it has seen that it is its owner, by a finger or a PIN. */
  readonly isVerified?: boolean;
  /** How often it has signed; 0: it does not count. */
  readonly counter?: number;
  readonly userHandle?: string;
}

/** Somebody's device, with one passkey (ES256). It answers as `navigator.credentials` gives it to a page. */
export class Authenticator {
  readonly id = randomBytes(32).toString('base64url');
  readonly #key: KeyObject;
  readonly #cose: Buffer;

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#key = privateKey;
    const { x, y } = publicKey.export({ format: 'jwk' }) as { readonly x: string; readonly y: string };
    // {1: 2, 3: -7, -1: 1, -2: x, -3: y} in CBOR (RFC 9053).
    this.#cose = Buffer.concat([
      Buffer.from('a5010203262001215820', 'hex'),
      Buffer.from(x, 'base64url'),
      Buffer.from('225820', 'hex'),
      Buffer.from(y, 'base64url'),
    ]);
  }

  /** What `navigator.credentials.create()` gives. */
  create(signing: Signing): Json {
    const id = Buffer.from(this.id, 'base64url');
    const attested = Buffer.concat([Buffer.alloc(16), Buffer.from([0, id.length]), id, this.#cose]);
    const data = dataOf(signing, attested);
    // {fmt: 'none', attStmt: {}, authData} in CBOR.
    const attestation = Buffer.concat([
      Buffer.from('a363666d74646e6f6e656761747453746d74a0686175746844617461', 'hex'),
      Buffer.from([0x59, data.length >> 8, data.length & 255]),
      data,
    ]);
    return this.#credential({
      clientDataJSON: clientData('webauthn.create', signing).toString('base64url'),
      attestationObject: attestation.toString('base64url'),
      transports: ['internal'],
    });
  }

  /** What `navigator.credentials.get()` gives. */
  get(signing: Signing): Json {
    const [client, data] = [clientData('webauthn.get', signing), dataOf(signing)];
    const signed = Buffer.concat([data, createHash('sha256').update(client).digest()]);
    return this.#credential({
      clientDataJSON: client.toString('base64url'),
      authenticatorData: data.toString('base64url'),
      signature: sign('sha256', signed, this.#key).toString('base64url'),
      ...(signing.userHandle === undefined ? {} : { userHandle: signing.userHandle }),
    });
  }

  #credential(response: Json): Json {
    const { id } = this;
    return { id, rawId: id, type: 'public-key', clientExtensionResults: {}, response };
  }
}

function clientData(type: string, { challenge, origin }: Signing): Buffer {
  return Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin: false }));
}

function dataOf({ rpId, isVerified = true, counter = 0 }: Signing, attested = Buffer.alloc(0)): Buffer {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(counter);
  const flags = 0x01 | (isVerified ? 0x04 : 0) | (attested.length > 0 ? 0x40 : 0);
  return Buffer.concat([createHash('sha256').update(rpId).digest(), Buffer.from([flags]), count, attested]);
}
