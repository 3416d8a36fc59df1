# One image for every component and for the command: `docker run --rm callstream python -m processors.silence`.
# docker-compose.yml runs them all.

FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv --without-pip /opt/callstream
COPY requirements-runtime.lock ./
RUN pip --python /opt/callstream/bin/python install --no-cache-dir --require-hashes --only-binary :all: -r requirements-runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY audio audio
COPY runtime runtime
COPY ingest ingest
COPY processors processors
COPY sinks sinks
COPY callstream callstream
COPY simulators simulators
RUN pip --python /opt/callstream/bin/python install --no-cache-dir --no-deps --compile .

FROM python:3.11-slim
# pip, setuptools and wheel are for building only
RUN pip uninstall --yes --root-user-action ignore setuptools wheel pip \
    && groupadd --gid 10001 callstream \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin callstream \
    && install -d -m 0700 -o 10001 -g 10001 /data /data/audit /data/audit-heads /data/recordings /data/recording-work /data/spool
COPY --from=build /opt/callstream /opt/callstream
ENV PATH=/opt/callstream/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# what is mounted over /data outlives the container
WORKDIR /data
USER 10001:10001
CMD ["callstream", "--help"]
