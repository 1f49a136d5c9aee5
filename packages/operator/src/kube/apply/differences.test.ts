import { differences } from './differences.ts';

const paths = (wanted: unknown, live: unknown) => differences(wanted, live).map(({ path }) => path);

describe('differences', () => {
  it('leave out what the server or others added', () => {
    const wanted = { spec: { containers: [{ name: 'a', image: 'x', ports: [{ containerPort: 9092 }] }] } };
    const live = {
      status: { ready: true },
      spec: {
        restartPolicy: 'Always',
        containers: [
          { name: 'sidecar', image: 'y' },
          { name: 'a', image: 'x', imagePullPolicy: 'Always', ports: [{ containerPort: 9092, protocol: 'TCP' }] },
        ],
      },
    };
    expect(differences(wanted, live)).toEqual([]);
  });

  it('name the place that is otherwise', () => {
    const wanted = { spec: { containers: [{ name: 'a', env: [{ name: 'K', value: '1' }] }] } };
    const live = { spec: { containers: [{ name: 'a', env: [{ name: 'K', value: '2' }] }] } };
    expect(differences(wanted, live)).toEqual([{ path: 'spec.containers[name=a].env[name=K].value', live: '2' }]);
  });

  it('see a missing entry, field and list', () => {
    expect(paths({ volumes: [{ name: 'a' }] }, { volumes: [] })).toEqual(['volumes[name=a]']);
    expect(paths({ a: { b: 1 } }, { a: {} })).toEqual(['a.b']);
    expect(paths({ args: ['x'] }, {})).toEqual(['args']);
  });

  it('compare lists without keys as a whole, entry by entry', () => {
    expect(paths({ args: ['a', 'b'] }, { args: ['a', 'b', 'c'] })).toEqual(['args']);
    expect(paths({ rules: [{ port: 1 }] }, { rules: [{ port: 1, protocol: 'TCP' }] })).toEqual([]);
    expect(paths({ rules: [{ from: 1 }] }, { rules: [{ from: 2 }] })).toEqual(['rules[0].from']);
  });

  it('take two spellings of a quantity for the same, and only where quantities stand', () => {
    const live = { limits: { cpu: '1', memory: '1Gi' }, sizeLimit: '1Gi' };
    expect(paths({ limits: { cpu: '1000m', memory: '1024Mi' }, sizeLimit: '1024Mi' }, live)).toEqual([]);
    expect(paths({ limits: { cpu: '2' } }, live)).toEqual(['limits.cpu']);
    expect(paths({ labels: { a: '1000m' } }, { labels: { a: '1' } })).toEqual(['labels.a']);
    expect(paths({ limits: { cpu: 1 } }, live)).toEqual([]);
  });

  it('take nothing for as good as an empty map, an empty list or nothing said', () => {
    expect(paths({ a: {}, b: [], c: null, d: undefined }, {})).toEqual([]);
  });

  it('tell ports of different protocols apart', () => {
    const wanted = { ports: [{ port: 53, protocol: 'UDP', name: 'dns' }] };
    expect(paths(wanted, { ports: [{ port: 53, protocol: 'TCP', name: 'dns' }] })).toEqual([
      'ports[port=53,protocol=UDP]',
    ]);
  });
});
