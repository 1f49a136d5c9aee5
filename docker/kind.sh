#!/usr/bin/env bash
# `make kind`: a Kubernetes in Docker with our images, the operator and the demo cluster in it. Run again, it brings in what changed.
set -euo pipefail
cd "$(dirname "$0")/.."

for program in docker kind kubectl helm; do
  if ! command -v "$program" > /dev/null; then
    echo "make kind needs $program; without Docker, 'make k8s' starts a Kubernetes on this machine (Linux, root)." >&2
    exit 1
  fi
done

version=$(sed -n 's/^appVersion: *//p' charts/kafscale/Chart.yaml)
etcd_version=$(sed -n '/^etcdImage:/,/^[a-z]/ s/^ *tag: *//p' charts/kafscale/values.yaml)
images=("kafscale/kafscale:$version" "kafscale/etcd:$etcd_version" "kafscale/minio:$version")
docker build --tag "${images[0]}" .
docker build --tag "${images[1]}" --file docker/etcd.Dockerfile docker
docker build --tag "${images[2]}" --file docker/minio.Dockerfile docker

kind get clusters | grep --quiet --line-regexp kafscale || kind create cluster --config kind-config.yaml
kind load docker-image --name kafscale "${images[@]}"

kube=(--kube-context kind-kafscale --namespace kafscale)
helm upgrade "${kube[@]}" --install --create-namespace --wait kafscale charts/kafscale
# The API server knows the resources now.
helm upgrade "${kube[@]}" --wait --set demo.enabled=true kafscale charts/kafscale
# An image of the same name may hold other code than before.
kubectl --context kind-kafscale --namespace kafscale rollout restart deployment/kafscale-operator
kubectl --context kind-kafscale --namespace kafscale wait kafscalecluster/kafscale --for=condition=Ready --timeout=10m
helm test "${kube[@]}" kafscale
echo "It runs. kubectl --context kind-kafscale --namespace kafscale get kfs,kft,pods; 'kind delete cluster --name kafscale' ends it."
