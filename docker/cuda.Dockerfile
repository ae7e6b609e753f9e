# tokensieve for NVIDIA GPUs: the same program on the torch 2.11 for CUDA 13 of the Python packages. The driver is the host's
# (580 or newer, with the NVIDIA Container Toolkit). Not built yet, and not run on a GPU.
#
#   docker build -f docker/cuda.Dockerfile -t tokensieve-cuda .
#   docker run --rm --gpus all tokensieve-cuda doctor

FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ENV TOKENSIEVE_CACHE=/opt/tokensieve
RUN scripts/setup model libtorch \
    && cargo build --release --locked -p tokensieve-cli --bin tokensieve

FROM python:3.12-slim-bookworm
RUN pip install --no-cache-dir torch==2.11.0
COPY --from=build --chmod=777 /opt/tokensieve/data /opt/tokensieve/data
COPY --from=build /src/target/release/tokensieve /usr/local/bin/
# The user has no home.
ENV TOKENSIEVE_CACHE=/opt/tokensieve \
    HF_HOME=/tmp/huggingface \
    LD_LIBRARY_PATH=/usr/local/lib/python3.12/site-packages/torch/lib \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /data
USER 65534
ENTRYPOINT ["tokensieve"]
