import { advertisedHostOf } from './advertised-host.ts';

describe('the advertised host', () => {
  const pod = { podIp: '10.1.2.3', podService: 'kafscale-broker-headless', podNamespace: 'streams' };

  it('is what was said, whatever else is known', () => {
    expect(advertisedHostOf({ ...pod, advertisedHost: 'kafka.example.org' })).toBe('kafka.example.org');
  });

  it("is the pod's name in its headless service", () => {
    expect(advertisedHostOf(pod)).toBe('10-1-2-3.kafscale-broker-headless.streams.svc');
    expect(advertisedHostOf({ ...pod, podIp: 'fd00::7' })).toBe('fd00--7.kafscale-broker-headless.streams.svc');
  });

  it("is the pod's address where its name is not known", () => {
    expect(advertisedHostOf({ podIp: '10.1.2.3', podNamespace: 'streams' })).toBe('10.1.2.3');
  });

  it('is this machine outside of a pod', () => {
    expect(advertisedHostOf({})).toBe('localhost');
  });
});
