import fs from 'node:fs';
import { createInterface } from 'node:readline';
import { status, Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js';
import type { Command, ServerArguments } from './control.js';
import { failure, Faults } from './faults.js';
import { Log } from './log.js';
import {
  features,
  gossip,
  GossipService,
  ServerFeaturesService,
  shared,
  StreamsService,
} from './protocol.js';
import type { FeaturesPb, GossipPb, SharedPb } from './protocol.js';
import { Reads } from './reads.js';
import { Writes } from './writes.js';

/**
 * A stand-in for a KurrentDB server in a process of its own: `server '<JSON of ServerArguments>'`. Writes one JSON
 * line when it listens, then one for each command that came as a JSON line on standard input and was carried out.
 */
const {
  port,
  file,
  batch = true,
  indexing = 0,
  version = '26.1.0',
  tls,
  user,
} = JSON.parse(process.argv[2]!) as ServerArguments;
const log = new Log(file);
log.indexing = indexing;
const faults = new Faults();
if (user !== undefined) faults.authorization = `Basic ${Buffer.from(user).toString('base64')}`;
const reads = new Reads(log, faults, Number(version.split('.')[0]) < 25);
const writes = new Writes(log, faults);
const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });

const METHODS = ['read', 'append', 'delete', 'tombstone', ...(batch ? ['batchappend'] : [])];

server.addService(StreamsService!, { ...reads, ...writes });
server.addService(ServerFeaturesService!, {
  getSupportedMethods(
    _call: ServerUnaryCall<SharedPb.Empty, FeaturesPb.SupportedMethods>,
    answer: sendUnaryData<FeaturesPb.SupportedMethods>,
  ) {
    if (faults.stalled.includes('features')) return;
    const supported = new features.SupportedMethods().setEventStoreServerVersion(version);
    for (const method of METHODS) {
      supported.addMethods(
        new features.SupportedMethod()
          .setServiceName('event_store.client.streams.streams')
          .setMethodName(method),
      );
    }
    answer(null, supported);
  },
});
server.addService(GossipService!, {
  read(
    call: ServerUnaryCall<SharedPb.Empty, GossipPb.ClusterInfo>,
    answer: sendUnaryData<GossipPb.ClusterInfo>,
  ) {
    if (faults.stalled.includes('gossip')) return;
    // Discovery by the client itself carries no user; that of its reads does.
    if (call.metadata.get('authorization').length > 0 && faults.refusal(call.metadata)) {
      answer(faults.refusal(call.metadata)!);
      return;
    }
    if (!faults.members) {
      answer(failure(status.UNAVAILABLE, 'not part of a cluster'));
      return;
    }
    const { LEADER, FOLLOWER } = gossip.MemberInfo.VNodeState;
    const info = new gossip.ClusterInfo();
    for (const { host, port: at, state, alive } of faults.members) {
      info.addMembers(
        new gossip.MemberInfo()
          .setInstanceId(new shared.UUID().setString(crypto.randomUUID()))
          .setTimeStamp(String(BigInt(Date.now()) * 10_000n))
          .setState(state === 'leader' ? LEADER : FOLLOWER)
          .setIsAlive(alive)
          .setHttpEndPoint(new gossip.EndPoint().setAddress(host).setPort(at)),
      );
    }
    answer(null, info);
  },
});

const credentials = tls
  ? ServerCredentials.createSsl(null, [
      { private_key: fs.readFileSync(tls.key), cert_chain: fs.readFileSync(tls.certificate) },
    ])
  : ServerCredentials.createInsecure();
const say = (line: unknown): boolean => process.stdout.write(`${JSON.stringify(line)}\n`);

server.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) => {
  if (error) throw error;
  say({ port: bound });
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      obey(JSON.parse(line) as Command, bound);
      say({ done: true });
    })
    // The process that started it is gone.
    .on('close', () => process.exit());
});

function obey(command: Command, bound: number): void {
  const { do: what, ...rest } = command;
  switch (what) {
    case 'faults':
      Object.assign(faults, rest);
      break;
    case 'follow':
      faults.leader = command.leader;
      log.replicate();
      break;
    case 'heal':
      Object.assign(faults, {
        stalled: [],
        stalledStream: undefined,
        mute: false,
        slow: 0,
        leader: undefined,
        denied: false,
        notReady: false,
        readOnly: false,
      });
      break;
    case 'drop':
      server.drain(`127.0.0.1:${bound}`, 0);
      break;
    case 'end quietly':
      reads.endQuietly();
      break;
    case 'too slow':
      reads.tooSlow();
      break;
    case 'forget':
      log.forget();
      break;
    case 'time':
      log.now = () => command.now;
      break;
    case 'isolate':
      faults.stalled = ['append'];
      log.isolate();
      break;
    case 'skew':
      log.now = () => Date.now() + command.by;
      break;
    case 'lead':
      log.lead();
      faults.leader = undefined;
      break;
  }
}
