/** The calls of etcd's v3 API that KafScale makes: where they go and how their messages become bytes. */
import {
  AuthenticateRequest,
  AuthenticateResponse,
  CompactionRequest,
  CompactionResponse,
  LeaseGrantRequest,
  LeaseGrantResponse,
  LeaseKeepAliveRequest,
  LeaseKeepAliveResponse,
  LeaseRevokeRequest,
  LeaseRevokeResponse,
  RangeRequest,
  RangeResponse,
  StatusRequest,
  StatusResponse,
  TxnRequest,
  TxnResponse,
  WatchRequest,
  WatchResponse,
} from './generated/etcd/etcd.ts';

interface Codec<Message> {
  encode(message: Message): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Message;
}

export interface EtcdMethod<Request, Answer> {
  readonly path: string;
  readonly encode: (request: Request) => Buffer;
  readonly decode: (bytes: Buffer) => Answer;
}

function method<Request, Answer>(
  path: string,
  request: Codec<Request>,
  answer: Codec<Answer>,
): EtcdMethod<Request, Answer> {
  return {
    path,
    encode: (message) => asBuffer(request.encode(message).finish()),
    decode: (bytes) => answer.decode(bytes),
  };
}

export const etcdMethods = {
  range: method('/etcdserverpb.KV/Range', RangeRequest, RangeResponse),
  txn: method('/etcdserverpb.KV/Txn', TxnRequest, TxnResponse),
  compact: method('/etcdserverpb.KV/Compact', CompactionRequest, CompactionResponse),
  leaseGrant: method('/etcdserverpb.Lease/LeaseGrant', LeaseGrantRequest, LeaseGrantResponse),
  leaseRevoke: method('/etcdserverpb.Lease/LeaseRevoke', LeaseRevokeRequest, LeaseRevokeResponse),
  /** A stream in both directions, of which one message each is used. */
  leaseKeepAlive: method('/etcdserverpb.Lease/LeaseKeepAlive', LeaseKeepAliveRequest, LeaseKeepAliveResponse),
  /** A stream in both directions. */
  watch: method('/etcdserverpb.Watch/Watch', WatchRequest, WatchResponse),
  status: method('/etcdserverpb.Maintenance/Status', StatusRequest, StatusResponse),
  authenticate: method('/etcdserverpb.Auth/Authenticate', AuthenticateRequest, AuthenticateResponse),
} as const;

/** The same bytes, not a copy of them. */
export const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
