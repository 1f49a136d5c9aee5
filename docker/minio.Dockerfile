# MinIO from its Go module, at the version that our tests run.
FROM golang:1.26 AS build
WORKDIR /build
ENV CGO_ENABLED=0
# A folder at the top of MinIO's data is a bucket.
RUN printf 'module kafscale.test/minio\n\ngo 1.24\n\nrequire (\n\tgithub.com/minio/minio v0.0.0-20260212201848-7aac2a2c5b7c\n)\n' > go.mod \
 && go build -mod=mod -trimpath -ldflags='-s -w' -o minio github.com/minio/minio \
 && mkdir -p data/records

FROM scratch
COPY --from=build /build/minio /usr/local/bin/
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=1000:1000 /build/data /data
ENV PATH=/usr/local/bin HOME=/tmp
USER 1000:1000
VOLUME /data
EXPOSE 9000
ENTRYPOINT ["minio", "server", "/data"]
