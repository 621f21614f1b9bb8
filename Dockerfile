# One file, every service:  docker build --build-arg SERVICE=feed --tag tickbus-feed .
ARG PYTHON_IMAGE=python:3.13-slim

# The pinned packages, the same layer in every service's image.
FROM ${PYTHON_IMAGE} AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_CACHE=1 UV_LINK_MODE=copy
WORKDIR /build
COPY requirements/bootstrap.txt requirements/build.txt requirements/
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --require-hashes -r requirements/bootstrap.txt -r requirements/build.txt
COPY requirements/runtime.txt requirements/
RUN python -m venv --without-pip /opt/tickbus \
 && /opt/build/bin/uv pip install --quiet --python /opt/tickbus/bin/python --compile-bytecode \
      --require-hashes --only-binary :all: -r requirements/runtime.txt

# The compiled order book. Without a compiler the plain one takes its place: the same, but slower.
FROM packages AS orderbook
COPY tools/headers.sh libs/orderbook ./
RUN mkdir wheels \
 && if sh headers.sh; then \
      /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels .; \
    else \
      echo "no compiler to be had: the order book will be the plain one" >&2; \
    fi

# The shared library and one service, beside the packages.
FROM packages AS service
ARG SERVICE
COPY --from=orderbook /build/wheels wheels
COPY libs/common libs/common
COPY services/${SERVICE} services/${SERVICE}
RUN test -n "${SERVICE}" || { echo "name the service: --build-arg SERVICE=feed" >&2; exit 1; }; \
    /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels \
      ./libs/common "./services/${SERVICE}" \
 && /opt/build/bin/uv pip install --quiet --python /opt/tickbus/bin/python --compile-bytecode \
      --target /opt/service --no-deps --no-index wheels/*.whl

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 tickbus \
 && useradd --uid 10001 --gid tickbus --home-dir /nonexistent --shell /usr/sbin/nologin tickbus \
 && install --directory --owner tickbus --group tickbus /data
COPY --from=packages /opt/tickbus /opt/tickbus
COPY tools/ready.py /opt/ready.py
COPY config /etc/tickbus
COPY --from=service /opt/service /opt/service
ARG SERVICE
LABEL org.opencontainers.image.title="tickbus-${SERVICE}" org.opencontainers.image.licenses="MIT"
ENV PATH=/opt/tickbus/bin:$PATH PYTHONPATH=/opt/service \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    TICKBUS_SERVICE=${SERVICE} \
    TICKBUS_CONFIG=/etc/tickbus/default.yaml \
    TICKBUS_LOG_FORMAT=json \
    TICKBUS_METRICS_HOST=0.0.0.0 TICKBUS_METRICS_PORT=9100
USER 10001:10001
WORKDIR /data
EXPOSE 9100
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 \
    CMD ["python", "-IS", "/opt/ready.py"]
# `exec`: the service is process 1 and gets SIGTERM itself.
ENTRYPOINT ["/bin/sh", "-c", "exec python -m tickbus_${TICKBUS_SERVICE} \"$@\"", "tickbus"]
