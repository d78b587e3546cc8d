# The image of tradingnode. Needs BuildKit, the default of `docker build`, for the cache and bind mounts.
# There is no HEALTHCHECK yet: `tradingnode health` tells whether the node is ready.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# What the node runs on: wheels only, each checked by its hash. A stage of its own, so that it is made again only when
# the lock changes. What pip downloads stays in the builder's cache and never in a layer.
FROM build AS dependencies
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=requirements.lock,target=requirements.lock \
    pip install --prefix=/install --no-warn-script-location --require-hashes --only-binary :all: -r requirements.lock

# The project's own wheel. What builds it comes out of the hashed lock too: pip takes no hashes from a constraint, so the
# entries are cut out, and pip fails when one is missing. README.md is only the wheel's long description, of no use in an
# image: an empty one does, and an edit of the real one builds nothing again.
FROM build AS project
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=requirements-dev.lock,target=requirements-dev.lock \
    awk '/^[a-z]/ { wanted = $1 ~ /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' \
        requirements-dev.lock >/tmp/build.lock \
    && pip install --require-hashes --only-binary :all: -r /tmp/build.lock
COPY pyproject.toml LICENSE ./
COPY config config
RUN : >README.md \
    && pip install --prefix=/install --no-warn-script-location --no-deps --no-build-isolation --no-cache-dir .

FROM python:3.12-slim
LABEL org.opencontainers.image.title="tradingnode" \
      org.opencontainers.image.description="From the environment to a running NautilusTrader TradingNode" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"

# A running node installs nothing, so pip goes. The user has a number, which compose files, volumes and Kubernetes can name.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.12/ensurepip /usr/local/lib/python3.12/site-packages/pip* \
    && groupadd --gid 10001 tradingnode \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/tradingnode --shell /usr/sbin/nologin tradingnode \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/tradingnode

# Two layers: 1 GB that changes with the lock, and a few hundred KB that change with the code. Both belong to root.
COPY --from=dependencies /install /usr/local
COPY --from=project /install /usr/local

# Bytecode was compiled at installation; at run time there is nowhere to write it (and strategies are mounted read-only).
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NAUTILUS_STATE_DIR=/var/lib/tradingnode
USER 10001:10001
WORKDIR /var/lib/tradingnode
VOLUME /var/lib/tradingnode

# Exec form: signals reach the node itself, and its exit code is the container's.
ENTRYPOINT ["tradingnode"]
CMD ["run"]
