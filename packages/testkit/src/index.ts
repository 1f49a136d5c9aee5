export { FakeClock, settled, type FakeClockSettings } from './fake-clock.ts';
export { cacheFolder, preparedFolder } from './servers/cache-folder.ts';
export { ChildServer, type ChildServerSettings } from './servers/child-server.ts';
export { freePort } from './servers/free-port.ts';
export { KafkaServer, kafkaClasspath, newestKafkaVersion, type KafkaServerSettings } from './servers/kafka-server.ts';
export { KafScaleServer, repositoryFolder, type KafScaleServerSettings } from './servers/kafscale-server.ts';
export { mavenClasspath, type MavenArtifact } from './servers/maven-classpath.ts';
export { isInstalled, ProgramError, runProgram, type ProgramOptions } from './servers/run-program.ts';
