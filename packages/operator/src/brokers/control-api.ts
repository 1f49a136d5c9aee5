/** The control API as `proto/control/broker.proto` describes it, loaded once by whoever calls or serves it. */
import type { ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { controlProtoOptions, controlProtoPath, controlServices } from '@kafscale/protocol';

export interface ControlApi {
  readonly brokerControl: ServiceDefinition;
  readonly assignmentStream: ServiceDefinition;
}

/** Throws when the description is not where it should be. */
export function loadControlApi(): ControlApi {
  const definition = loadSync(controlProtoPath, controlProtoOptions);
  return {
    brokerControl: definition[controlServices.brokerControl] as ServiceDefinition,
    assignmentStream: definition[controlServices.assignmentStream] as ServiceDefinition,
  };
}
