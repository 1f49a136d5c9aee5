# Broker, operator and every other command of `kafscale` in one image: `docker run kafscale broker` with KAFSCALE_… variables.
# Runs as a user without rights on a read-only file system; it writes nothing unless KAFSCALE_DATA_DIR names a volume.

FROM node:20-slim AS build
WORKDIR /kafscale
COPY package.json package-lock.json .npmrc tsconfig.base.json ./
COPY packages packages
COPY proto proto
RUN npm ci
RUN npx tsc -b packages/cli
# What only building and testing need goes; tests are compiled with the code and go too.
RUN rm -rf node_modules packages/testkit \
 && npm ci --omit=dev --workspace=packages/cli \
 && find packages -path '*/dist/*' \( -name '*.test.*' -o -name '*-fixture.*' -o -name '*.model.*' -o -name '*.contract.*' -o -name '*.map' -o -name '*.d.ts' \) -delete \
 && rm -rf packages/*/src packages/*/tsconfig.* node_modules/.cache

# What restores a snapshot of etcd: `kafscale etcd-prepare` runs it before the members of a managed etcd start.
FROM golang:1.26 AS etcdutl
WORKDIR /build
RUN printf 'module kafscale.test/etcd\n\ngo 1.24\n\nrequire go.etcd.io/etcd/etcdutl/v3 v3.6.16\n' > go.mod \
 && CGO_ENABLED=0 go build -mod=mod -trimpath -ldflags='-s -w' -o etcdutl go.etcd.io/etcd/etcdutl/v3

FROM node:20-slim
ENV NODE_ENV=production \
    # What is held back stays bounded: large blocks, which are used again and again, go back to the system when they are given up at
    # all; small ones lie in one arena whose top is kept rather than faulted in again; young objects are collected a little sooner.
    MALLOC_ARENA_MAX=1 \
    MALLOC_MMAP_THRESHOLD_=1048576 \
    MALLOC_TRIM_THRESHOLD_=67108864 \
    MALLOC_TOP_PAD_=16777216 \
    NODE_OPTIONS=--max-semi-space-size=4
WORKDIR /kafscale
COPY --from=build /kafscale ./
COPY --from=etcdutl /build/etcdutl /usr/local/bin/
USER 1000:1000
# Kafka clients; metrics, /healthz and /readyz; the control API where it is on.
EXPOSE 9092 9093 9094
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s \
    CMD ["node", "-e", "fetch('http://127.0.0.1:9093/readyz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/kafscale/packages/cli/bin/kafscale.js"]
CMD ["broker"]
