# The live runner and its console, from their own small lock: none of dagster, feast, mlflow.
# Build from the checkout's root: docker build -f docker/runner.Dockerfile -t ljwx-runner .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /build
COPY requirements/pipeline.txt requirements/runner.txt requirements/
RUN python3 -m venv /opt/ljwx \
 && /opt/ljwx/bin/pip install --no-cache-dir --require-hashes -r requirements/runner.txt
# the build tool alone, by its hash in the pipeline's lock, in an environment that is thrown away
RUN sed -n '/^setuptools==/,/[^\\]$/p' requirements/pipeline.txt > requirements/build.txt \
 && python3 -m venv /build/tools \
 && /build/tools/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY ljwx_pipeline ljwx_pipeline
RUN /build/tools/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir wheels . \
 && /opt/ljwx/bin/pip install --no-cache-dir --no-deps wheels/ljwx_pipeline-*.whl

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
COPY ljwx.toml ./
COPY profiles profiles
COPY docker/healthcheck.py docker/
# the compiled kernels' cache lies with the state: the root file system may be read-only
ENV PATH=/opt/ljwx/bin:$PATH \
    LJWX_HOME=/var/lib/ljwx \
    NUMBA_CACHE_DIR=/var/lib/ljwx/cache/numba \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME /var/lib/ljwx
USER 10001:10001
EXPOSE 8700 8710
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "docker/healthcheck.py", "http", "http://127.0.0.1:8700/health"]
CMD ["ljwx", "live"]
