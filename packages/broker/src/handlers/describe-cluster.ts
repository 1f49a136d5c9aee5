/** DescribeCluster v0-2 (KIP-700): the brokers. There are no controllers to connect to and no fenced brokers to list. */
import { describeCluster, ErrorCode, KafkaError, type ResponseOf } from '@kafscale/protocol';
import { clusterOperations, operationsNotAsked } from './authorized-operations.ts';
import { defineHandler } from './define-handler.ts';
import { controllerId } from './leadership.ts';

const EndpointType = { BROKER: 1, CONTROLLER: 2 } as const;

export const describeClusterHandler = defineHandler({
  api: describeCluster,
  fail: (code) => failed(new KafkaError(code)),
  handle({ endpointType, includeClusterAuthorizedOperations }, _context, { image, brokerConfigs }) {
    if (endpointType !== EndpointType.BROKER) return failed(wrongEndpoint(endpointType));
    return {
      throttleTimeMs: 0,
      errorCode: ErrorCode.NONE,
      errorMessage: null,
      endpointType,
      clusterId: image.clusterId,
      controllerId: controllerId(image, brokerConfigs.brokerId),
      brokers: image.brokers().map(({ brokerId, host, port, rack }) => ({
        brokerId,
        host,
        port,
        rack: rack === '' ? null : rack,
        isFenced: false,
      })),
      clusterAuthorizedOperations: includeClusterAuthorizedOperations ? clusterOperations : operationsNotAsked,
    };
  },
});

function wrongEndpoint(endpointType: number): KafkaError {
  if (endpointType === EndpointType.CONTROLLER) {
    return new KafkaError(
      ErrorCode.MISMATCHED_ENDPOINT_TYPE,
      'The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER',
    );
  }
  return new KafkaError(ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, `Unsupported endpoint type ${endpointType}`);
}

const failed = ({ code, message }: KafkaError): ResponseOf<typeof describeCluster> => ({
  throttleTimeMs: 0,
  errorCode: code,
  errorMessage: message,
  endpointType: EndpointType.BROKER,
  clusterId: '',
  controllerId: -1,
  brokers: [],
  clusterAuthorizedOperations: operationsNotAsked,
});
