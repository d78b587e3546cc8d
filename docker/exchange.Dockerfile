# The exchange of the offline stack (docker-compose.offline.yml): the one that the tests use, from the folder tests, which is
# mounted. Its only package is aiohttp, in the versions and with the hashes of the lock.
FROM python:3.12-slim
RUN --mount=type=cache,target=/var/cache/pip \
    --mount=type=bind,source=requirements-dev.lock,target=/tmp/requirements-dev.lock \
    awk '/^[a-z]/ { wanted = $1 ~ /^(aiohappyeyeballs|aiohttp|aiosignal|attrs|frozenlist|idna|multidict|propcache|typing-extensions|yarl)==/ } wanted' \
        /tmp/requirements-dev.lock >/tmp/exchange.lock \
    && PIP_CACHE_DIR=/var/cache/pip pip install --no-warn-script-location --root-user-action=ignore \
        --disable-pip-version-check --no-compile \
        --require-hashes --only-binary :all: -r /tmp/exchange.lock
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /srv
# The port is on 127.0.0.1 of the network namespace that the node shares.
ENTRYPOINT ["python", "-m", "tests.venue", "--port", "9400"]
HEALTHCHECK --interval=1s --timeout=3s --retries=30 \
    CMD ["python", "-c", "import socket; socket.create_connection(('127.0.0.1', 9400), 1)"]
