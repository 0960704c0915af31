# docker build --tag segdata .
# docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" segdata stats data
#
# Other extras: --build-arg EXTRAS=detect,train --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
# (the index brings PyTorch without the gigabytes for GPUs).
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS build
RUN pip install --no-cache-dir build
WORKDIR /src
COPY . .
RUN python -m build --wheel --outdir /wheels

FROM python:${PYTHON}-slim
ARG EXTRAS=detect,formats,report
ARG PIP_EXTRA_INDEX_URL
# What the wheels of OpenCV and (from Python 3.13 on) mediapipe need, and slim images lack.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 libegl1 libgles2 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir "$(echo /wheels/*.whl)[$EXTRAS]" && rm -r /wheels
# Whoever it runs as can write to /tmp, where libraries keep what they would put into a home.
ENV HOME=/tmp
RUN useradd --no-create-home segdata
USER segdata
RUN segdata doctor
WORKDIR /data
ENTRYPOINT ["segdata"]
CMD ["--help"]
