# syntax=docker/dockerfile:1

# With compiler and Python: better-sqlite3 is compiled where no ready-made library fits, or none can be fetched.
# Compiled with the headers of Node 24.19 or later it would end the process at some garbage collection: so this Node is older
# than the one that it runs on.
FROM node:24.18.1-bookworm AS sources
WORKDIR /build
COPY package.json package-lock.json ./
# No package's scripts but the one that is needed: our own `prepare` would want the sources, which come later.
RUN npm ci --ignore-scripts && npm rebuild better-sqlite3 --ignore-scripts=false
COPY tsconfig.json tsconfig.product.json ./
COPY scripts/after-build.mjs scripts/build-page.mjs scripts/
COPY projections projections
COPY src src

FROM sources AS dashboards
COPY grafana/generate.ts grafana/
COPY grafana/source grafana/source
RUN npm run build --silent && node dist/grafana/generate.js /dashboards

# `docker build --target grafana .`: Grafana with the dashboards.
FROM grafana/grafana:12.2.0 AS grafana
COPY --from=dashboards /dashboards /etc/grafana/dashboards

FROM sources AS build
# Tests and benchmarks are not part of it. What compiling SQLite needed is not either.
# `docker build --build-arg STOPGAP_COMMIT=$(git rev-parse --short=12 HEAD) .` lets `stopgap --version` name the commit.
ARG STOPGAP_COMMIT=
RUN npm run build:product --silent \
  && rm dist/tsconfig.tsbuildinfo dist/page.made-from && find dist -name '*.map' -delete \
  && npm prune --omit=dev --ignore-scripts \
  && rm -rf node_modules/better-sqlite3/deps node_modules/better-sqlite3/src node_modules/@kurrent/bridge-*-musl \
  && find node_modules/better-sqlite3/build -type f ! -name better_sqlite3.node -delete \
  && node -e "new (require('better-sqlite3'))(':memory:').exec('SELECT 1')" \
  && ! grep -q 28RemoveEnvironmentCleanupHook node_modules/better-sqlite3/build/Release/better_sqlite3.node

FROM node:24.21.0-bookworm-slim
# The files of users and tokens are shared by several processes: a directory of their own, outside the data.
RUN install -d -o node -g node -m 0700 /var/lib/stopgap /var/lib/stopgap-accounts \
  && printf 'users: []\n' > /var/lib/stopgap-accounts/users.yaml \
  && printf 'tokens: []\n' > /var/lib/stopgap-accounts/tokens.yaml \
  && chown node:node /var/lib/stopgap-accounts/*.yaml \
  && chmod 0600 /var/lib/stopgap-accounts/*.yaml
WORKDIR /app
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY package.json LICENSE ./
ENV NODE_ENV=production \
  STOPGAP_DATA=/var/lib/stopgap
USER node
VOLUME /var/lib/stopgap
# Whether it answers. Whether it is ready to work is what /readyz says.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8025/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# It drains: give it fifteen seconds. As process 1 it is not reaped for: run it with an init (`docker run --init`).
STOPSIGNAL SIGTERM
CMD ["node", "dist/src/main.js", "serve"]
