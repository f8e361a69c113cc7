import { createRequire } from 'node:module';
import type { ServiceDefinition } from '@grpc/grpc-js';
import type * as AnyPb from 'google-protobuf/google/protobuf/any_pb.js';
import type * as TimestampPb from 'google-protobuf/google/protobuf/timestamp_pb.js';
import type * as GossipPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/gossip_pb.js';
import type * as FeaturesPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/serverfeatures_pb.js';
import type * as SharedPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/shared_pb.js';
import type * as StatusPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/status_pb.js';
import type * as StreamsPb from '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1/streams_pb.js';

/**
 * The protocol as the client package carries it. Not part of its public interface: run these tests after an update of
 * the client. Its modules assign their exports at run time, which `import` cannot see.
 */
const require = createRequire(import.meta.url);
const client = require.resolve('@kurrent/kurrentdb-client/package.json');
const fromClient = createRequire(client);
const V1 = '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v1';

export const streams = require(`${V1}/streams_pb.js`) as typeof StreamsPb;
export const shared = require(`${V1}/shared_pb.js`) as typeof SharedPb;
export const status = require(`${V1}/status_pb.js`) as typeof StatusPb;
export const gossip = require(`${V1}/gossip_pb.js`) as typeof GossipPb;
export const features = require(`${V1}/serverfeatures_pb.js`) as typeof FeaturesPb;
export const any = fromClient('google-protobuf/google/protobuf/any_pb.js') as typeof AnyPb;
export const timestamp = fromClient('google-protobuf/google/protobuf/timestamp_pb.js') as typeof TimestampPb;

type Services = Record<string, ServiceDefinition>;
export const { StreamsService } = require(`${V1}/streams_grpc_pb.js`) as Services;
export const { GossipService } = require(`${V1}/gossip_grpc_pb.js`) as Services;
export const { ServerFeaturesService } = require(`${V1}/serverfeatures_grpc_pb.js`) as Services;

export type { StreamsPb, SharedPb, StatusPb, GossipPb, FeaturesPb };
