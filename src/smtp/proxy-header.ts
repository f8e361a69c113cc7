import net from 'node:net';

/*
 * The PROXY protocol, versions 1 and 2: what a proxy sends before the client's own bytes, to tell whose connection it
 * passes on (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt).
 */

/** What has come of a header. */
export type ProxyHeader =
  /** Not all of it; nothing of it is wrong so far. */
  | 'incomplete'
  | 'malformed'
  | {
      /** How long it is: the client's own bytes follow. */
      readonly bytes: number;
      /** Undefined if the connection is the proxy's own (LOCAL, UNKNOWN), such as its health check. */
      readonly client: ProxiedClient | undefined;
    };

/** Whose connection a proxy passes on. */
export interface ProxiedClient {
  readonly ip: string;
  readonly port: number;
  /** The client speaks TLS with the proxy, which says so. Version 1 cannot say it. */
  readonly usesTls: boolean;
}

/** With CRLF (section 2.1). */
const LONGEST_LINE = 107;
const LINE = Buffer.from('PROXY ');
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
/** Signature, version and command, family, length. */
const FIXED = 16;
/** Of what follows the fixed part: addresses take 216 bytes at most, so there is room for TLVs. */
const LONGEST_REST = 2048;

/** Reads a header from the first bytes of a connection: bounded, and the same however they are split. */
export function readProxyHeader(data: Buffer): ProxyHeader {
  if (begins(data, LINE)) return readLine(data);
  return begins(data, SIGNATURE) ? readBinary(data) : 'malformed';
}

/** Whether data begins with this, or may do so once there is more. */
function begins(data: Buffer, start: Buffer): boolean {
  const length = Math.min(data.length, start.length);
  return data.subarray(0, length).equals(start.subarray(0, length));
}

/** Version 1: `PROXY TCP4 192.0.2.7 198.51.100.1 4711 587`. */
function readLine(data: Buffer): ProxyHeader {
  const end = data.subarray(0, LONGEST_LINE).indexOf('\r\n');
  if (end < 0) return data.length < LONGEST_LINE ? 'incomplete' : 'malformed';
  const bytes = end + 2;
  const line = data.toString('latin1', LINE.length, end);
  // Whatever follows is not looked at.
  if (/^UNKNOWN(?: |$)/.test(line)) return { bytes, client: undefined };
  const [family, ip = '', to = '', port, toPort, ...more] = line.split(' ');
  const isRight = family === 'TCP4' ? net.isIPv4 : family === 'TCP6' ? isPlainIPv6 : () => false;
  if (!isRight(ip) || !isRight(to) || !isPort(port) || !isPort(toPort) || more.length > 0) return 'malformed';
  return { bytes, client: { ip, port: Number(port), usesTls: false } };
}

/** Without a zone. */
function isPlainIPv6(text: string): boolean {
  return net.isIPv6(text) && !text.includes('%');
}

function isPort(text: string | undefined): boolean {
  return text !== undefined && /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}

/** Version 2. */
function readBinary(data: Buffer): ProxyHeader {
  if (data.length > 12 && ![0x20, 0x21].includes(data[12]!)) return 'malformed';
  if (data.length < FIXED) return 'incomplete';
  const rest = data.readUInt16BE(14);
  if (rest > LONGEST_REST) return 'malformed';
  const isLocal = data[12] === 0x20;
  const family = isLocal ? 0 : data[13]!;
  const least = ADDRESSES[family];
  if (least === undefined || rest < least) return 'malformed';
  const bytes = FIXED + rest;
  if (data.length < bytes) return 'incomplete';
  const client = CLIENTS[family]?.(data.subarray(FIXED));
  return {
    bytes,
    client: client && { ...client, usesTls: saysTls(data.subarray(FIXED + least, bytes)) },
  };
}

/** PP2_TYPE_SSL, and PP2_CLIENT_SSL in its first byte (section 2.2.6). */
const [SSL, CLIENT_SSL] = [0x20, 0x01];
/** Type and length of a TLV. */
const TLV_HEAD = 3;

/** Whether TLVs say that the client uses TLS. What is cut short says nothing. */
function saysTls(tlvs: Buffer): boolean {
  for (let at = 0; at + TLV_HEAD < tlvs.length;) {
    const end = at + TLV_HEAD + tlvs.readUInt16BE(at + 1);
    if (end > tlvs.length) return false;
    if (tlvs[at] === SSL && end > at + TLV_HEAD) return (tlvs[at + TLV_HEAD]! & CLIENT_SSL) !== 0;
    at = end;
  }
  return false;
}

/** How many bytes of addresses a family and transport has: unspecified, TCP over IPv4, over IPv6, a UNIX stream. */
const ADDRESSES: Readonly<Record<number, number>> = { 0x00: 0, 0x11: 12, 0x21: 36, 0x31: 216 };

const CLIENTS: Readonly<Record<number, (addresses: Buffer) => { ip: string; port: number }>> = {
  0x11: (from) => ({ ip: from.subarray(0, 4).join('.'), port: from.readUInt16BE(8) }),
  0x21: (from) => ({
    ip: Array.from({ length: 8 }, (_, group) => from.readUInt16BE(2 * group).toString(16)).join(':'),
    port: from.readUInt16BE(32),
  }),
};
