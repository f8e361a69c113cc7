import { createHash, randomBytes } from 'node:crypto';

const RECOVERY_CODES = 10;
/** 80 bits: nobody guesses one from its hash. */
const RECOVERY_BYTES = 10;
/** 160 bits, as RFC 4226 recommends. */
const SECRET_BYTES = 20;

/** What a person needs to make codes; only hashes of the recovery codes are kept. */
export interface SecondFactor {
  /** In base32. */
  readonly secret: string;
  readonly recovery: readonly string[];
}

export function newSecondFactor(): SecondFactor {
  const recovery = Array.from({ length: RECOVERY_CODES }, () =>
    base32(randomBytes(RECOVERY_BYTES))
      .toLowerCase()
      .replace(/(.{4})(?=.)/g, '$1-'),
  );
  return { secret: base32(randomBytes(SECRET_BYTES)), recovery };
}

/** @param code as a person types it, with or without dashes */
export function recoveryHash(code: string): string {
  return createHash('sha256').update(code.toLowerCase().replace(/[\s-]/g, ''), 'utf8').digest('hex');
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** RFC 4648, of bytes whose bits make whole characters. */
function base32(bytes: Buffer): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return bits.replace(/.{5}/g, (five) => BASE32[Number.parseInt(five, 2)]!);
}
