# The whole line: Dagster (webserver, daemon, code location), MLflow and the jobs themselves.
# Build from the checkout's root: docker build -f docker/pipeline.Dockerfile -t ljwx-pipeline .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /build
COPY requirements/pipeline.txt requirements/
# byte code is compiled here: without it every process would compile what it imports, seconds each time
RUN python3 -m venv /opt/ljwx \
 && /opt/ljwx/bin/pip install --no-cache-dir --require-hashes -r requirements/pipeline.txt
COPY pyproject.toml README.md LICENSE ./
COPY ljwx_pipeline ljwx_pipeline
RUN /opt/ljwx/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${BASE}
# libgomp1: LightGBM's OpenMP. Debian's security updates must reach the image, so no version is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --no-create-home --home-dir /tmp ljwx \
 && install -d -o 10001 -g 10001 /var/lib/ljwx
COPY --from=build /opt/ljwx /opt/ljwx
WORKDIR /app
COPY ljwx.toml workspace.yaml pyproject.toml ./
COPY profiles profiles
COPY feature_repo feature_repo
COPY assets assets
COPY jobs jobs
COPY docker/workspace.yaml docker/healthcheck.py docker/in_market.py docker/
# state and caches have one home, so that the root file system may be read-only (with a tmpfs on /tmp)
ENV PATH=/opt/ljwx/bin:$PATH \
    LJWX_HOME=/var/lib/ljwx \
    NUMBA_CACHE_DIR=/var/lib/ljwx/cache/numba \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
    GX_ANALYTICS_ENABLED=false
# the image holds no checkout: the commit it was built from, which lineage and bundles name
ARG LJWX_GIT_REVISION=unknown
ENV LJWX_GIT_REVISION=${LJWX_GIT_REVISION}
VOLUME /var/lib/ljwx
USER 10001:10001
EXPOSE 3000 4000 5000
# a port that accepts: `dagster api grpc-health-check` takes seconds; compose asks each service its own question
HEALTHCHECK --interval=15s --timeout=5s --start-period=90s --retries=4 \
    CMD ["python", "docker/healthcheck.py", "tcp", "4000"]
CMD ["python", "docker/in_market.py", "dagster", "code-server", "start", "-h", "0.0.0.0", "-p", "4000", "-m", "jobs.definitions"]
