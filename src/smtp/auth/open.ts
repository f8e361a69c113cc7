import type { Config } from '../../config/schema.js';
import type { RemoteOptions } from './bounded-checks.js';
import { DovecotBackend } from './dovecot.js';
import { HttpBackend } from './http.js';
import type { AuthBackend } from './port.js';
import { SmtpBackend } from './smtp.js';

/** Opens a back end other than the users file; it connects to nothing yet. Undefined if the configuration names none. */
export function openRemoteBackend(
  { smtp: { auth, hostname } }: Pick<Config, 'smtp'>,
  options: RemoteOptions,
): AuthBackend | undefined {
  const { backend, dovecot, smtp, http } = auth;
  if (backend === 'dovecot') return new DovecotBackend({ ...options, address: dovecot });
  if (backend === 'smtp' && !('maildir' in smtp.target))
    return new SmtpBackend({ ...options, upstream: smtp.target, hostname });
  if (backend === 'http' && http !== undefined)
    return new HttpBackend({ ...options, url: http, token: auth.token?.secret });
  return undefined;
}
