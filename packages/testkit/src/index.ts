export { densestMessages, messageCases, messageOf, type MessageCase } from './arbitraries/messages.ts';
export { FakeClock, settled, type FakeClockSettings } from './fake-clock.ts';
export {
  defaultEtcdVersion,
  etcdPrograms,
  etcdVersions,
  type EtcdPrograms,
  type EtcdVersion,
} from './servers/etcd-programs.ts';
export {
  etcdClientName,
  EtcdMember,
  EtcdServer,
  rootPassword,
  type EtcdServerSettings,
  type EtcdUser,
} from './servers/etcd-server.ts';
export { etcdChoices, givenEtcdEndpoints, type EtcdChoice, type EtcdForTests } from './servers/etcd-for-tests.ts';
export { makeTestCertificates, type CertificateFiles, type TestCertificates } from './servers/test-certificates.ts';
export { KafkaServer, kafkaClasspath, newestKafkaVersion, type KafkaServerSettings } from './servers/kafka-server.ts';
export { ControlPlane, type ControlPlaneSettings } from './servers/kubernetes/control-plane.ts';
export { Kubectl, type KubeObject } from './servers/kubernetes/kubectl.ts';
export { ClusterCertificates, type ClusterUser } from './servers/kubernetes/cluster-certificates.ts';
export { writeKubeconfig, type KubeconfigSettings } from './servers/kubernetes/kubeconfig.ts';
export {
  controllerBinaries,
  coreDnsBinary,
  helmBinary,
  kubeBinaries,
  kubernetesVersion,
  metricsServerBinary,
  nodeBinaries,
} from './servers/kubernetes/kubernetes-programs.ts';
export { KafScaleServer, repositoryFolder, type KafScaleServerSettings } from './servers/kafscale-server.ts';
export { mavenClasspath, type MavenArtifact } from './servers/maven-classpath.ts';
export { startMinio } from './servers/minio-server.ts';
export { s3Choices, type S3Choice, type S3ForTests, type S3Place } from './servers/s3-for-tests.ts';
export { s3Request, type S3Access, type S3Request } from './servers/s3-request.ts';
export { S3Server, type S3Make, type S3ServerSettings } from './servers/s3-server.ts';
export { buildVersitygw, startVersitygw } from './servers/versitygw-server.ts';
export { ConnectionClosed, RawClient, type RawClientSettings } from './raw-client.ts';
export { eventually } from './eventually.ts';
export { FaultyProxy, type FaultyProxySettings, type ProxyDirection, type ProxyMode } from './faulty-proxy.ts';
// What tests need of these lies in the runtime, since `kafscale cluster` starts servers too.
export {
  buildEtcd,
  buildMinio,
  cacheFolder,
  ChildServer,
  findProgram,
  freePort,
  isInstalled,
  newestEtcdVersion,
  preparedFolder,
  previousEtcdVersion,
  ProgramError,
  runProgram,
  type ChildServerSettings,
  type ProgramOptions,
} from '@kafscale/runtime';
export { builtInKinds, type FakeKind, type FakeMeta, type FakeObject } from './kube/fake-kinds.ts';
export {
  FakeKubeApi,
  type ApiVerb,
  type FakeKubeApiSettings,
  type Fault,
  type RecordedRequest,
} from './kube/fake-kube-api.ts';
