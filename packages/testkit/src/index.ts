export { FakeClock, settled, type FakeClockSettings } from './fake-clock.ts';
