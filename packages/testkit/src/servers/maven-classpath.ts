/** Jars and what they need from Maven, once per set of artifacts, in the cache folder. */
import { preparedFolder, runProgram } from '@kafscale/runtime';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** `group:artifact:version`. */
export type MavenArtifact = `${string}:${string}:${string}`;

const copyDependencies = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies';

function pom(artifacts: readonly MavenArtifact[]): string {
  const dependencies = artifacts.map((artifact) => {
    const [groupId, artifactId, version] = artifact.split(':');
    return `<dependency><groupId>${groupId!}</groupId><artifactId>${artifactId!}</artifactId><version>${version!}</version></dependency>`;
  });
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>kafscale.test</groupId>
  <artifactId>classpath</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>${dependencies.join('\n')}</dependencies>
</project>
`;
}

/** A class path with these artifacts and all their dependencies. */
export async function mavenClasspath(name: string, artifacts: readonly MavenArtifact[]): Promise<string> {
  const description = pom(artifacts);
  const folder = await preparedFolder(name, description, async (unfinished) => {
    const pomFile = join(unfinished, 'pom.xml');
    await writeFile(pomFile, description);
    await runProgram('mvn', ['-q', '-B', '-f', pomFile, copyDependencies, `-DoutputDirectory=${unfinished}`]);
  });
  return join(folder, '*');
}
