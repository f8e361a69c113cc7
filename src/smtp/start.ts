import path from 'node:path';
import { formatListen, listenFault } from '../config/values.js';
import type { Config, TlsSettings } from '../config/schema.js';
import type { ListenAddress, RelaySettings } from '../config/values.js';
import type { SmtpContext } from './context.js';
import type { ListenerSettings } from './listener.js';
import { SmtpListener } from './listener.js';
import { ListenerCertificate, ensureSelfSigned } from './tls.js';
import type { Upstreams } from './upstreams.js';

/**
 * Opens every SMTP listener of the configuration, each with its certificate.
 *
 * @param closers gets what closes them again
 */
export async function startSmtp(
  context: SmtpContext,
  config: Config,
  upstreams: Upstreams,
  closers: (() => unknown)[],
): Promise<{ what: string; address: string }[]> {
  const { submission, inbound, maxRecipients } = config.smtp;
  const listening: { what: string; address: string }[] = [];
  const stops: (() => Promise<void>)[] = [];
  // All at once: a slow session at one listener must not hold up the others.
  closers.push(() => Promise.all(stops.map((stop) => stop())));
  const open = async (
    listen: ListenAddress,
    tls: TlsSettings,
    relay: RelaySettings,
    settings: Omit<ListenerSettings, 'secure'>,
  ): Promise<void> => {
    const name = formatListen(listen);
    const { metrics, log } = context;
    const certificate = await certificateOf(tls, path.join(config.data, 'tls'), context, name, (secure) => {
      listener.useCertificate(secure);
      log.info({ listener: name }, 'a new certificate is in force');
      metrics.smtp.certificate(name, certificate.expiresAt);
    });
    const listener = new SmtpListener({ ...context, relay: upstreams.relayOf(relay) }, {
      ...settings,
      secure: certificate.secure,
    } as ListenerSettings);
    const port = await listener.listen().catch((thrown: unknown) => {
      throw listenFault(thrown, `smtp.${settings.kind}.listen`, listen);
    });
    metrics.smtp.certificate(name, certificate.expiresAt);
    certificate.start();
    stops.push(async () => {
      certificate.stop();
      await listener.close();
    });
    listening.push({ what: settings.kind, address: formatListen({ host: listen.host, port }) });
  };
  for (const { listen, tls, allowInsecureAuth } of submission) {
    const common = { listen, tlsMode: tls.mode, limits: config.smtp, maxRecipients };
    await open(listen, tls, config.smtp.relay, { ...common, kind: 'submission', allowInsecureAuth } as Omit<
      ListenerSettings,
      'secure'
    >);
  }
  for (const { listen, tls, domains, relay } of inbound) {
    const common = { listen, tlsMode: tls.mode, limits: config.smtp, maxRecipients };
    await open(listen, tls, relay, { ...common, kind: 'inbound', domains: new Set(domains) } as Omit<
      ListenerSettings,
      'secure'
    >);
  }
  return listening;
}

async function certificateOf(
  tls: TlsSettings,
  directory: string,
  { hostname, clock, log, metrics }: SmtpContext,
  listener: string,
  onChange: (secure: ListenerCertificate['secure']) => void,
): Promise<ListenerCertificate> {
  const onRefused = (reason: string): void => {
    metrics.rules.fileRefused('certificate');
    log.error({ listener, reason }, 'a certificate was refused; the old one stays in force');
  };
  const onRestored = (): void => log.info({ listener }, 'a certificate that was refused can be used again');
  if (tls.cert !== undefined && tls.key !== undefined) {
    return new ListenerCertificate({
      files: { cert: tls.cert, key: tls.key },
      clock,
      onChange,
      onRefused,
      onRestored,
    }).load();
  }
  const files = await ensureSelfSigned(directory, hostname, clock);
  return new ListenerCertificate({
    files,
    selfSigned: { directory, hostname },
    clock,
    onChange,
    onRefused,
    onRestored,
  }).load();
}
