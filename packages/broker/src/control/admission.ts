/**
 * Who may call the control API at all, and how many calls there may be at once. Both are decided by the headers alone, before a byte
 * of the request is decoded. Client certificates are checked by TLS, before there is a call.
 */
import {
  ResponderBuilder,
  ServerInterceptingCall,
  ServerListenerBuilder,
  status,
  type Metadata,
  type ServerInterceptor,
} from '@grpc/grpc-js';

export interface AdmissionDependencies {
  /** Absent where client certificates are enough. */
  readonly token?: { allows(authorization: string): Promise<boolean> } | undefined;
  readonly limits: Readonly<Record<string, number>>;
  /** Of methods that have no limit of their own. */
  readonly defaultLimit: number;
  readonly onRefused: (peer: string) => void;
}

const mostHeaders = 1;

export function admission({ token, limits, defaultLimit, onRefused }: AdmissionDependencies): ServerInterceptor {
  const underWay = new Map<string, number>();

  return (method, call) => {
    const name = method.path.slice(method.path.lastIndexOf('/') + 1);
    let isCounted = false;
    const release = () => {
      if (!isCounted) return;
      isCounted = false;
      underWay.set(name, underWay.get(name)! - 1);
    };
    let isOver = false;
    const refuse = (code: status, details: string) => {
      if (!isOver) call.sendStatus({ code, details });
    };
    const admit = (metadata: Metadata, next: (metadata: Metadata) => void) => {
      if (isOver) return;
      const count = underWay.get(name) ?? 0;
      if (count >= (limits[name] ?? defaultLimit)) {
        refuse(status.RESOURCE_EXHAUSTED, `at most ${limits[name] ?? defaultLimit} calls of ${name} at once`);
        return;
      }
      underWay.set(name, count + 1);
      isCounted = true;
      next(metadata);
    };
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        isAllowed(metadata).then(
          (allowed) => {
            if (allowed) {
              admit(metadata, next);
              return;
            }
            onRefused(call.getPeer());
            refuse(status.UNAUTHENTICATED, 'the token is missing or wrong');
          },
          () => refuse(status.UNAVAILABLE, 'the token cannot be checked'),
        );
      })
      .withOnCancel(() => {
        isOver = true;
        release();
      })
      .build();
    const responder = new ResponderBuilder()
      .withStart((next) => next(listener))
      .withSendStatus((sent, next) => {
        isOver = true;
        release();
        next(sent);
      })
      .build();
    return new ServerInterceptingCall(call, responder);
  };

  async function isAllowed(metadata: Metadata): Promise<boolean> {
    if (token === undefined) return true;
    const given = metadata.get('authorization');
    return given.length === mostHeaders && (await token.allows(String(given[0])));
  }
}
