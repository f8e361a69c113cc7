import ipaddr from 'ipaddr.js';

/*
 * A small writer of the MaxMind DB format, version 2.0 (https://maxmind.github.io/MaxMind-DB/), for databases that
 * tests make themselves. Records are 24 bits wide. Pointers into the data section are given as bytes.
 *
 *   search tree | 16 zero bytes | records | mark | metadata
 */

export type MmdbValue =
  string | number | bigint | Buffer | readonly MmdbValue[] | { readonly [key: string]: MmdbValue };

export interface MmdbOptions {
  readonly type: string;
  /** Networks in CIDR form, and what is known of each. They must not overlap. */
  readonly networks: Readonly<Record<string, MmdbValue>>;
  /** When it was built, in milliseconds; whole seconds are kept. */
  readonly builtAt: number;
  /** 6 unless given: IPv4 networks then stand under ::/96. */
  readonly ipVersion?: 4 | 6;
  readonly description?: MmdbValue;
}

const RECORD_SIZE = 24;
const SEPARATOR = Buffer.alloc(16);
const MARK = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');

/** A node's two sides: another node, an offset into the records, or nothing. */
type Side = Node | number | undefined;
interface Node {
  readonly sides: [Side, Side];
  number: number;
}

export function mmdb({ type, networks, builtAt, ipVersion = 6, description }: MmdbOptions): Buffer {
  const root: Node = { sides: [undefined, undefined], number: 0 };
  const records: Buffer[] = [];
  let length = 0;
  for (const [network, value] of Object.entries(networks)) {
    const record = encode(value);
    insert(root, bitsOf(network, ipVersion), length);
    records.push(record);
    length += record.length;
  }
  const nodes = numbered(root);
  const tree = Buffer.concat(
    nodes.map((node) => Buffer.concat(node.sides.map((side) => pointer(side, nodes.length)))),
  );
  const metadata = encode({
    binary_format_major_version: 2,
    binary_format_minor_version: 0,
    build_epoch: BigInt(Math.floor(builtAt / 1000)),
    database_type: type,
    description: description ?? { en: 'made by a test' },
    ip_version: ipVersion,
    languages: ['en'],
    node_count: nodes.length,
    record_size: RECORD_SIZE,
  });
  return Buffer.concat([tree, SEPARATOR, ...records, MARK, metadata]);
}

/** The bits of a network's prefix, the first one first. */
function bitsOf(network: string, ipVersion: 4 | 6): readonly number[] {
  const [address, prefix] = ipaddr.parseCIDR(network);
  const bytes = address.toByteArray();
  const bits = bytes.flatMap((byte) => Array.from({ length: 8 }, (_, index) => (byte >> (7 - index)) & 1));
  const lead = ipVersion === 6 && address.kind() === 'ipv4' ? 96 : 0;
  return [...Array.from({ length: lead }, () => 0), ...bits.slice(0, prefix)];
}

function insert(root: Node, bits: readonly number[], offset: number): void {
  let node = root;
  for (const bit of bits.slice(0, -1)) {
    const next = node.sides[bit];
    if (typeof next === 'number') throw new Error('networks overlap');
    node = next ?? (node.sides[bit] = { sides: [undefined, undefined], number: 0 });
  }
  node.sides[bits.at(-1)!] = offset;
}

function numbered(root: Node): readonly Node[] {
  const nodes = [root];
  for (const node of nodes) {
    for (const side of node.sides) if (typeof side === 'object') side.number = nodes.push(side) - 1;
  }
  return nodes;
}

/** Below the number of nodes a node, just that number nothing, above it a record behind the separator. */
function pointer(side: Side, nodes: number): Buffer {
  const value =
    side === undefined ? nodes : typeof side === 'object' ? side.number : nodes + SEPARATOR.length + side;
  const bytes = Buffer.alloc(RECORD_SIZE / 8);
  bytes.writeUIntBE(value, 0, bytes.length);
  return bytes;
}

const STRING = 2;
const UINT32 = 6;
const MAP = 7;
const UINT64 = 9;
const ARRAY = 11;

function encode(value: MmdbValue): Buffer {
  if (Buffer.isBuffer(value)) return value;
  if (typeof value === 'string') {
    const bytes = Buffer.from(value, 'utf8');
    return Buffer.concat([control(STRING, bytes.length), bytes]);
  }
  if (typeof value === 'number') return unsigned(UINT32, BigInt(value));
  if (typeof value === 'bigint') return unsigned(UINT64, value);
  if (Array.isArray(value)) return Buffer.concat([control(ARRAY, value.length), ...value.map(encode)]);
  const entries = Object.entries(value);
  return Buffer.concat([control(MAP, entries.length), ...entries.flat().map((each) => encode(each))]);
}

function unsigned(type: number, value: bigint): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return Buffer.concat([control(type, bytes.length), bytes]);
}

/** Type and size: types from 8 on stand in a byte of their own, sizes from 29 on in the bytes that follow. */
function control(type: number, size: number): Buffer {
  const [low, rest] =
    size < 29 ? [size, []] : size < 285 ? [29, [size - 29]] : [30, [(size - 285) >> 8, (size - 285) & 255]];
  return Buffer.from(type < 8 ? [(type << 5) | low, ...rest] : [low, type - 7, ...rest]);
}
