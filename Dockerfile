# The image of tradingnode; what is in it, what is not, and why: docs/image.md
# Needs BuildKit (the default of `docker build`) of Engine 25 or newer.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore PYTHONHASHSEED=0 \
    PIP_CACHE_DIR=/var/cache/pip PIP_CONFIG_FILE=/run/secrets/pip
WORKDIR /build

# Every file gets one date and every bytecode file checks by no date, so that the same input makes the same layers. The
# date is no build argument: layers that hold the same would differ from commit to commit.
COPY --chmod=0755 <<'SH' /usr/local/bin/settle
#!/bin/sh
# settle ROOT PREFIX CODE: compile ROOT/CODE as what will be found at PREFIX/CODE, then give all of ROOT its date.
set -eu
python -m compileall -q --invalidation-mode unchecked-hash -s "$1" -p "$2" "$1/$3"
find "$1" -exec touch --no-dereference --date=1980-01-01T00:00:00Z {} +
SH

# What the node runs on: wheels only, each checked by its hash. A stage of its own, so that it is made again only when
# the lock changes. What pip downloads stays in the builder's cache and never in a layer. A mirror's address may hold a
# password: it comes as a secret, `docker build --secret id=pip,src=pip.conf .`, and is nowhere afterwards.
FROM build AS dependencies
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=secret,id=pip \
    --mount=type=bind,source=requirements.lock,target=requirements.lock \
    pip install --prefix=/install --no-compile --no-warn-script-location --require-hashes --only-binary :all: \
        -r requirements.lock
# What no node uses: commands of packages, their tests, what only a compiler or a type checker reads, and of pyarrow the
# copies under other names and the clients of Flight and S3, whose import pyarrow itself allows to fail.
RUN cd /install/lib/python3.12/site-packages \
    && rm -r /install/bin numpy/_core/_simd.*.so pyarrow/include pyarrow/src \
        pyarrow/libarrow_python*.so pyarrow/libarrow_python*.so.*.*.* \
    && rm pyarrow/libarrow*_flight.so.* pyarrow/_flight.* pyarrow/flight.py pyarrow/libarrow_s3.so.* pyarrow/_s3fs.* \
    && find . -type d -name tests -prune -exec rm -r {} + \
    && find . -type f -regextype posix-extended \
        -regex '.*\.(pyi|pyx|pxd|pxi|c|cc|cpp|h|hpp|a|cmake)|.*_tests\.[^/]*\.so' -delete \
    && settle /install /usr/local lib

# The project's own wheel. What builds it comes out of the hashed lock too: pip takes no hashes from a constraint, so the
# entries are cut out, and pip fails when one is missing. README.md is only the wheel's long description, of no use in an
# image: an empty one does, and an edit of the real one builds nothing again.
FROM build AS project
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=secret,id=pip \
    --mount=type=bind,source=requirements-dev.lock,target=requirements-dev.lock \
    awk '/^[a-z]/ { wanted = $1 ~ /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' \
        requirements-dev.lock >/tmp/build.lock \
    && pip install --require-hashes --only-binary :all: -r /tmp/build.lock
COPY pyproject.toml LICENSE ./
COPY config config
RUN : >README.md \
    && pip install --prefix=/install --no-compile --no-warn-script-location --no-deps --no-build-isolation \
        --no-cache-dir . \
    && settle /install /usr/local lib

# Debian and Python without what installs, compiles or changes the user. Edited as plain files, and copied once: what a
# layer of its own removes is hidden and not gone. The standard library comes without bytecode, and with nowhere to write
# it each health check would compile it again. The user has a number, which volumes and Kubernetes can name.
FROM build AS system
COPY --from=python:3.12-slim / /system
RUN cd /system/usr/local \
    && rm -rf bin/pip* bin/idle* bin/pydoc* bin/*config* include lib/pkgconfig lib/python3.12/config-* \
        lib/python3.12/ensurepip lib/python3.12/idlelib lib/python3.12/turtledemo lib/python3.12/site-packages/* \
    && cd /system \
    && rm -rf etc/pip.conf var/cache/* var/lib/apt/lists/* \
    && find . -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && echo 'tradingnode:x:10001:10001::/var/lib/tradingnode:/usr/sbin/nologin' >>etc/passwd \
    && echo 'tradingnode:x:10001:' >>etc/group \
    && install -d -o 10001 -g 10001 -m 0750 var/lib/tradingnode \
    && settle /system / usr/local/lib/python3.12

FROM scratch
# Three layers: the system, what the lock names, and 2 MB that change with the code. All of it belongs to root.
COPY --from=system /system /
COPY --from=dependencies /install /usr/local
COPY --from=project /install /usr/local

# At run time there is nowhere to write bytecode (and strategies are mounted read-only).
ENV PATH=/usr/local/bin:/usr/bin:/bin \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NAUTILUS_STATE_DIR=/var/lib/tradingnode
USER 10001:10001
WORKDIR /var/lib/tradingnode
VOLUME /var/lib/tradingnode

# Healthy means ready. Until then it is asked every second, at most for 90 s: a node that is not ready after 70 (by
# default) ends. Later two failures in a row, so that one slow moment of the host is no outage.
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --start-interval=1s --retries=2 \
    CMD ["tradingnode", "health"]

# Exec form: signals reach the node itself, and its exit code is the container's. PID 1 is the engine's (`--init`).
ENTRYPOINT ["tradingnode"]
CMD ["run"]

# Last, since they change with each commit.
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="tradingnode" \
      org.opencontainers.image.description="From the environment to a running NautilusTrader TradingNode" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.licenses="MIT"
