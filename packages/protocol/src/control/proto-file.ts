/**
 * Where the description of the control API lies, and how both ends load it. The file is found from the sources and from what is built
 * of them alike: both are equally deep in the repository, of which an image has `proto/` too.
 */
import { fileURLToPath } from 'node:url';

export const controlProtoPath = fileURLToPath(new URL('../../../../proto/control/broker.proto', import.meta.url));

/** For `loadSync` of `@grpc/proto-loader`; messages.ts is written for these. */
export const controlProtoOptions = { longs: Number, defaults: true, arrays: true, objects: true } as const;

/** Full names of the services, as the loaded description has them. */
export const controlServices = {
  brokerControl: 'kafscale.control.BrokerControl',
  assignmentStream: 'kafscale.control.AssignmentStream',
} as const;
