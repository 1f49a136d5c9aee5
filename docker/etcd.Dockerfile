# etcd from its Go modules, at the version that our tests run; etcdutl is what restores a snapshot.
FROM golang:1.26 AS build
WORKDIR /build
ENV CGO_ENABLED=0
# Its own go.mod replaces modules, which `go install` refuses; as dependencies of a module made for it they build.
RUN printf 'module kafscale.test/etcd\n\ngo 1.24\n\nrequire (\n\tgo.etcd.io/etcd/server/v3 v3.6.16\n\tgo.etcd.io/etcd/etcdctl/v3 v3.6.16\n\tgo.etcd.io/etcd/etcdutl/v3 v3.6.16\n)\n' > go.mod \
 && go build -mod=mod -trimpath -ldflags='-s -w' -o etcd go.etcd.io/etcd/server/v3 \
 && go build -mod=mod -trimpath -ldflags='-s -w' -o etcdctl go.etcd.io/etcd/etcdctl/v3 \
 && go build -mod=mod -trimpath -ldflags='-s -w' -o etcdutl go.etcd.io/etcd/etcdutl/v3 \
 && mkdir data

FROM scratch
COPY --from=build /build/etcd /build/etcdctl /build/etcdutl /usr/local/bin/
COPY --from=build --chown=1000:1000 /build/data /data
ENV PATH=/usr/local/bin
USER 1000:1000
VOLUME /data
EXPOSE 2379 2380 2381
ENTRYPOINT ["etcd"]
