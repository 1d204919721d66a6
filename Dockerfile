# dlrun on a GPU or on the CPU.
#
#   docker build -t dlrun .
#   docker run --rm --init --gpus all --shm-size=1g --user "$(id -u):$(id -g)" \
#     -v "$PWD/data:/data" -v "$PWD/outputs:/work/outputs" dlrun model=resnet data=mnist
#   docker run --rm --init --user "$(id -u):$(id -g)" \
#     -v "$PWD/outputs:/work/outputs" dlrun model=resnet data=digits device=cpu
#
# --init       hands `docker stop` on to dlrun, which saves and ends within the ten seconds of grace
# --shm-size   loader processes (device.workers=N) pass batches through shared memory; Docker gives 64 MB
# --user       files in the mounts belong to you; nothing in the image needs root (make both folders first)
#
# The wheels of torch bring their own CUDA libraries, so the small base image is enough.
FROM nvidia/cuda:13.0.1-base-ubuntu24.04

RUN apt-get update \
 && apt-get install -y --no-install-recommends git python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/dlrun
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY conf ./conf
COPY dlrun ./dlrun
RUN python3 -m venv /opt/venv \
 && /opt/venv/bin/pip install --no-cache-dir -c constraints.txt .

RUN useradd --create-home student \
 && mkdir -p /data /work/outputs \
 && chown -R student /data /work
USER student
WORKDIR /work
# Any user id may run the image, and none but student has a home in it.
ENV PATH=/opt/venv/bin:$PATH DLRUN_DATA=/data HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib
ENTRYPOINT ["dlrun"]
