/** A key pair in somebody's device, of which only the public half is known here: it is no secret. */
export interface Passkey {
  /** The credential id, in base64url. */
  readonly id: string;
  /** The public key in COSE's form, in base64url. */
  readonly key: string;
  /** How often it had signed when it was added; 0 for good if it does not count. */
  readonly counter: number;
  /** ISO 8601. */
  readonly addedAt: string;
  /** How the device is reached: `internal`, `usb`, … */
  readonly transports: readonly string[];
  /** What its owner calls it. */
  readonly name: string;
}

/** Of one person. */
export const MOST_PASSKEYS = 20;
/** Characters of an id: a device may choose 1023 bytes. */
export const LONGEST_ID = 1364;
/** Characters of a key: RSA with 4096 bits has some 700. */
export const LONGEST_KEY = 800;
/** What an owner may call it. */
export const PASSKEY_NAME = /^[^\s\p{C}](?:[^\p{C}\p{Zl}\p{Zp}]{0,58}[^\s\p{C}])?$/u;

const FORM = new RegExp(
  `^([\\w-]{1,${LONGEST_ID}}) ([\\w-]{1,${LONGEST_KEY}}) (\\d{1,10}) (\\d{4}-[\\dT:.Z-]{1,30}) (-|[a-z,-]{1,100}) (\\S.{0,200})$`,
  'u',
);

/** One line of the file: `id key counter addedAt transports name`. */
export function passkeyText({ id, key, counter, addedAt, transports, name }: Passkey): string {
  return [id, key, counter, addedAt, transports.join(',') || '-', name].join(' ');
}

/** The opposite of {@link passkeyText}; undefined for what is none. */
export function parsePasskey(text: string): Passkey | undefined {
  const found = FORM.exec(text);
  if (found === null) return undefined;
  const [, id, key, counter, addedAt, transports, name] = found as unknown as readonly string[];
  if (!PASSKEY_NAME.test(name!)) return undefined;
  return {
    id: id!,
    key: key!,
    counter: Number(counter),
    addedAt: addedAt!,
    name: name!,
    transports: transports === '-' ? [] : transports!.split(','),
  };
}
