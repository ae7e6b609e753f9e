# tokensieve and paper for the CPU, with libtorch, the default model and MNIST.
#
#   docker build -f docker/cpu.Dockerfile -t tokensieve .
#   docker run --rm -v "$PWD:/data" --user "$(id -u):$(id -g)" tokensieve train my.toml
#   docker run --rm -v "$PWD:/data" --entrypoint paper tokensieve claims --recorded

FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-pip \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Programs look for libtorch where it lay when they were linked, so the folder is the same in both stages.
ENV TOKENSIEVE_CACHE=/opt/tokensieve
RUN scripts/setup toy model libtorch \
    && cargo build --release --locked -p tokensieve-cli --bin tokensieve -p tokensieve-paper --bin paper

FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates fonts-dejavu-core libstdc++6 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/tokensieve/libtorch-2.11.0 /opt/tokensieve/libtorch-2.11.0
# Whoever runs it may fetch data sets.
COPY --from=build --chmod=777 /opt/tokensieve/data /opt/tokensieve/data
COPY --from=build /src/target/release/tokensieve /src/target/release/paper /usr/local/bin/
# The user has no home.
ENV TOKENSIEVE_CACHE=/opt/tokensieve HF_HOME=/tmp/huggingface
WORKDIR /data
USER 65534
ENTRYPOINT ["tokensieve"]
