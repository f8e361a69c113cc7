import ipaddr from 'ipaddr.js';
import { InvalidInput } from '../kernel/errors.js';

type Network = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

/** Looking at a list for each message costs more than remembering some clients. */
const REMEMBERED = 10_000;

/**
 * Reads networks as Postfix's `mynetworks` lists them: separated by commas or spaces, IPv6 in brackets or not.
 *
 * @returns whether an address lies in one of them
 * @throws InvalidInput naming `field`
 */
export function parseNetworks(text: string, field = 'networks'): (ip: string) => boolean {
  const networks = text
    .split(/[\s,]+/)
    .filter((part) => part !== '')
    .map((part) => parseNetwork(part, field));
  const known = new Map<string, boolean>();
  return (ip) => {
    let inside = known.get(ip);
    if (inside === undefined) {
      inside = lies(ip, networks);
      if (known.size >= REMEMBERED) known.clear();
      known.set(ip, inside);
    }
    return inside;
  };
}

function lies(ip: string, networks: readonly Network[]): boolean {
  if (!ipaddr.isValid(ip)) return false;
  const address = ipaddr.process(ip);
  return networks.some(
    ([network, length]) => network.kind() === address.kind() && address.match(network, length),
  );
}

function parseNetwork(text: string, field: string): Network {
  const [, address, written] = /^\[?([^\]/]+)\]?(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  if (address !== undefined && isWhole(address)) {
    const network = ipaddr.process(address);
    const widest = network.kind() === 'ipv4' ? 32 : 128;
    // ::ffff:127.0.0.0/104 is an IPv4 network.
    const mapped = widest === 32 && address.includes(':') ? 96 : 0;
    const length = written === undefined ? widest : Number(written) - mapped;
    if (length >= 0 && length <= widest) return [network, length];
  }
  throw new InvalidInput(
    field,
    `"${text}" is no network: write addresses and networks as in mynetworks, such as "127.0.0.0/8 [::1]/128 192.0.2.0/24"`,
  );
}

/** An IPv4 address of four numbers, or an IPv6 address: other forms mean different things to different people. */
function isWhole(address: string): boolean {
  return address.includes(':') ? ipaddr.isValid(address) : ipaddr.IPv4.isValidFourPartDecimal(address);
}
