#!/usr/bin/env bash
# Build both images and try them with podman and runc: for a machine without a Docker engine or an image registry.
# Needs root, and: apt-get install --no-install-recommends podman runc debootstrap buildah   (crun fails here, runc works)
#
#   STATE              where podman's storage and the base system are kept between calls (about 10 GB); default /var/tmp/ljwx-podman
#   PODMAN_BUILD_ARGS  more arguments for `podman build`, for example volumes that let pip reach a package index of your own
set -euo pipefail
cd "$(dirname "$0")/.."

STATE=${STATE:-/var/tmp/ljwx-podman}
read -r -a BUILD_ARGS <<< "${PODMAN_BUILD_ARGS:-}"
BASE=localhost/ljwx-base:bookworm
mkdir -p "$STATE"

podman() {
    command podman --root "$STATE/storage" --runroot "$STATE/run" --cgroup-manager=cgroupfs --runtime runc \
        --events-backend=file "$@"
}

# what the compose file asks of a container: read-only, no privilege, a volume for state
hardened() {
    podman run --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network=host --read-only --tmpfs /tmp \
        --user 10001:10001 --cap-drop=ALL --security-opt no-new-privileges \
        --add-host code-location:127.0.0.1 --add-host runner:127.0.0.1 --volume ljwx-state:/var/lib/ljwx "$@"
}

healthy() {
    local name=$1 seconds=$2
    shift 2
    for ((waited = 0; waited < seconds; waited += 2)); do
        if podman exec "$name" "$@" > /dev/null 2>&1; then
            echo "ok      $name after ${waited} s"
            return
        fi
        sleep 2
    done
    echo "failed  $name: not healthy within ${seconds} s" >&2
    podman logs "$name" >&2
    return 1
}

if ! podman image exists "$BASE"; then
    [[ -d $STATE/rootfs/usr ]] || debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$STATE/rootfs"
    tar -C "$STATE/rootfs" --exclude=./proc --exclude=./sys -c . | podman import - "$BASE"
fi

revision=$(git describe --always --dirty --abbrev=40 --exclude='*')
for image in runner pipeline; do
    podman build --isolation=chroot --network=host --format docker --build-arg "BASE=$BASE" \
        --build-arg "LJWX_GIT_REVISION=$revision" "${BUILD_ARGS[@]}" \
        -f "docker/$image.Dockerfile" -t "localhost/ljwx-$image" .
done

services=(ljwx-code-location ljwx-webserver ljwx-daemon ljwx-mlflow ljwx-runner ljwx-console)
finish() { # every trial begins with an empty state
    podman rm --force --ignore "${services[@]}" > /dev/null
    podman volume rm --force ljwx-state > /dev/null
}
trap finish EXIT
finish

pipeline=localhost/ljwx-pipeline
runner=localhost/ljwx-runner
# one command a line: after `&&` a command that fails does not end the script
hardened --rm "$runner" ljwx live --help > /dev/null
echo "ok      ljwx live --help"
hardened --rm "$runner" python -c 'import importlib.util as u, sys; sys.exit(any(u.find_spec(m) for m in ("dagster", "feast", "mlflow")))'
echo "ok      the runner's image holds none of dagster, feast, mlflow"
hardened --rm "$pipeline" python -c "$(sed -n 's/^ *- "\(from ljwx_pipeline.config import ljwx_home.*\)"$/\1/p' docker/compose.yaml)"
hardened --rm "$pipeline" python -c 'import sys; from assets.lineage import git_revision as g; sys.exit(g() != sys.argv[1])' "$revision"
echo "ok      the pipeline's image knows its revision, $revision"
# in the order of the compose file: MLflow makes its database before a sensor looks at it
hardened -d --name ljwx-mlflow "$pipeline" mlflow server --host=127.0.0.1 --port=5000 --workers=1 \
    --backend-store-uri=sqlite:////var/lib/ljwx/mlflow/mlflow.db --default-artifact-root=/var/lib/ljwx/mlflow/artifacts
healthy ljwx-mlflow 240 python docker/healthcheck.py http http://127.0.0.1:5000/health
hardened -d --name ljwx-code-location "$pipeline"
healthy ljwx-code-location 180 python docker/healthcheck.py tcp 4000
hardened -d --name ljwx-webserver "$pipeline" python docker/in_market.py dagster-webserver -h 127.0.0.1 -p 3000 -w docker/workspace.yaml
hardened -d --name ljwx-daemon "$pipeline" python docker/in_market.py dagster-daemon run -w docker/workspace.yaml
hardened -d --name ljwx-runner "$runner"
healthy ljwx-webserver 180 python docker/healthcheck.py http http://127.0.0.1:3000/server_info
healthy ljwx-runner 120 python docker/healthcheck.py http http://127.0.0.1:8700/health
hardened -d --name ljwx-console "$runner" ljwx console
healthy ljwx-console 120 python docker/healthcheck.py http http://127.0.0.1:8710/health
healthy ljwx-daemon 240 python docker/in_market.py dagster-daemon liveness-check
if [[ ${RUN_LINE:-0} == 1 ]]; then
    podman exec ljwx-code-location ljwx run
fi
echo "all services are healthy"
