#!/usr/bin/env bash
# kafka.sh [FOLDER]: the jars of a real Kafka broker in FOLDER/lib (.tools/kafka), for the tests of `reelvec stream`.
# Where Maven or Java is missing it says so and ends well: those tests are skipped then.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
version=3.9.1
home=${1:-.tools/kafka}

for tool in java mvn; do
    command -v "$tool" >/dev/null || { echo "kafka: skipped, $tool is missing" >&2; exit 0; }
done
if [ -e "$home/lib/kafka_2.13-$version.jar" ]; then
    echo "kafka $version: $home"
    exit
fi
mkdir -p "$home" .tools && echo "*" >.tools/.gitignore
home=$(cd "$home" && pwd)
fresh=$(mktemp -d "$home/fresh.XXXXXX")
trap 'rm -rf "$fresh"' EXIT
cat >"$fresh/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>reelvec</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
if ! timeout 300 mvn -B -q -f "$fresh/pom.xml" dependency:copy-dependencies -DoutputDirectory="$fresh/lib" >"$fresh/log" 2>&1; then
    tail -5 "$fresh/log" >&2
    echo "kafka: skipped, Maven could not fetch the jars" >&2
    exit 0
fi
rm -rf "$home/lib" && mv "$fresh/lib" "$home/lib"
echo "kafka $version: $home"
